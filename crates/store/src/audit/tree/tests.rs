//! The tree against published roots, and against itself as the RFC defines it.

use super::*;

/// The leaves of the tests of Certificate Transparency, and the roots of the first so many of them.
const LEAVES: [&[u8]; 8] = [
    b"",
    b"\x00",
    b"\x10",
    b"\x20\x21",
    b"\x30\x31",
    b"\x40\x41\x42\x43",
    b"\x50\x51\x52\x53\x54\x55\x56\x57",
    b"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f",
];
const ROOTS: [&str; 8] = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
];

/// The definition of RFC 6962, 2.1, word for word.
fn defined(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => Hash::of_nothing(),
        [one] => *one,
        more => {
            let (left, right) = more.split_at(more.len().next_power_of_two() / 2);
            Hash::of_node(defined(left), defined(right))
        }
    }
}

fn leaf(number: u64) -> Hash {
    Hash::of_leaf(&number.to_be_bytes())
}

/// What a store would give.
fn ask(leaves: &[Hash], question: Question) -> Vec<Hash> {
    let places = question.places();
    let hash = |place: &Place| {
        let width = 1_usize << (8 * u32::from(place.level));
        let first = place.index as usize * width;
        defined(&leaves[first..first + width])
    };
    let hashes: Vec<Hash> = places.iter().map(hash).collect();
    question.answer(&hashes).unwrap()
}

#[test]
fn roots_are_the_published_ones() {
    let leaves = LEAVES.map(Hash::of_leaf);
    assert_eq!(
        Hash::of_nothing().to_string(),
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    );
    let mut frontier = Frontier::default();
    for (size, root) in ROOTS.iter().enumerate().map(|(at, root)| (at + 1, root)) {
        frontier.push(leaves[size - 1], |_, _| {});
        assert_eq!(frontier.root().to_string(), *root);
        assert_eq!(ask(&leaves, Question::Root(size as u64)), [frontier.root()]);
    }
}

/// The example of tlog-tiles: 70,000 leaves are 273 full tiles and 112 hashes, one full tile and 17, and one.
#[test]
fn tiles_are_those_of_the_published_example() {
    assert_eq!(tiles(70_000), [(273, 112), (1, 17), (0, 1)]);
    assert_eq!(tiles(256), [(1, 0), (0, 1)]);
    assert_eq!(tile_path(0, 1_234_067, 256), "tile/0/x001/x234/067");
    assert_eq!(tile_path(0, 273, 112), "tile/0/273.p/112");
    for (level, number, width) in [(0, 0, 256), (1, 1_000, 17), (2, 12_345_678, 1)] {
        let path = tile_path(level, number, width);
        let path = path.strip_prefix("tile/").unwrap();
        assert_eq!(parse_tile_path(path), Some((level, number, width)));
    }
    for path in [
        "",
        "0",
        "0/1",
        "0/0001",
        "8/000",
        "0/000.p/0",
        "0/000.p/257",
        "0/000.p/256",
        "0/x000/000",
        "0/000/001",
        "x/000",
        "0/000.p/+1",
    ] {
        assert_eq!(parse_tile_path(path), None, "{path}");
    }
}

#[test]
fn proofs_hold_for_what_they_prove_and_for_nothing_else() {
    let leaves: Vec<Hash> = (0..70).map(leaf).collect();
    let root = |size: u64| defined(&leaves[..size as usize]);
    for size in 1..=70_u64 {
        for index in 0..size {
            let proof = ask(&leaves, Question::Inclusion { index, size });
            let tree = (size, root(size));
            assert!(includes(index, leaf(index), &proof, tree));
            assert!(!includes(index, leaf(index + 1), &proof, tree));
            assert!(
                !includes(
                    index,
                    leaf(index),
                    &proof,
                    (size, root(70 - size + 1).max(leaf(0)))
                ) || size == 70 - size + 1
            );
            for at in 0..proof.len() {
                let mut other = proof.clone();
                other[at].0[0] ^= 1;
                assert!(!includes(index, leaf(index), &other, tree));
                assert!(!includes(index, leaf(index), &proof[..at], tree));
            }
        }
        for old in 1..size {
            let proof = ask(&leaves, Question::Consistency { old, new: size });
            let (before, after) = ((old, root(old)), (size, root(size)));
            assert!(continues(before, after, &proof), "{old} {size}");
            assert!(!continues((old, leaf(old)), after, &proof));
            assert!(!continues(before, (size, leaf(old)), &proof));
            assert!(!continues(before, after, &proof[..proof.len() - 1]));
        }
    }
    assert!(continues((3, root(3)), (3, root(3)), &[]));
    assert!(!continues((3, root(3)), (3, root(4)), &[]));
    assert!(!continues((4, root(4)), (3, root(3)), &[]));
}

#[test]
fn what_is_kept_is_complete_when_it_is_said_to_be() {
    let mut frontier = Frontier::default();
    let mut tile = Vec::new();
    let mut kept = Vec::new();
    for number in 0..66_000 {
        let mut told = Vec::new();
        frontier.push(leaf(number), |place, hash| told.push((place, hash)));
        let places: Vec<Place> = told.iter().map(|(place, _)| *place).collect();
        assert_eq!(places, completed_by(number + 1));
        tile.push(leaf(number));
        if tile.len() == 256 {
            assert_eq!(told[0].1, root_of_tile(&tile));
            tile.clear();
            kept.push(told[0].1);
        }
        if let Some((place, hash)) = told.get(1) {
            assert_eq!((place.level, place.index), (2, 0));
            assert_eq!(*hash, root_of_tile(&kept));
        }
    }
    assert_eq!(kept.len(), 257);
    // A root takes what is kept, and no more than three tiles of it.
    assert!(Question::Root(66_000).places().len() < 3 * 256);
}
