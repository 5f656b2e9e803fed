//! A block of IP addresses.

use std::net::IpAddr;
use std::str::FromStr;

/// The addresses that share the first bits of one address.
///
/// The two families are apart: an IPv4 address written as IPv6 (`::ffff:10.1.2.3`) is in no IPv4 block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cidr {
    address: IpAddr,
    bits: u32,
}

impl Cidr {
    pub(super) fn contains(self, address: IpAddr) -> bool {
        match (self.address, address) {
            (IpAddr::V4(block), IpAddr::V4(address)) => {
                let differing = u32::from(block) ^ u32::from(address);
                differing.leading_zeros() >= self.bits
            }
            (IpAddr::V6(block), IpAddr::V6(address)) => {
                let differing = u128::from(block) ^ u128::from(address);
                differing.leading_zeros() >= self.bits
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }
}

impl FromStr for Cidr {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parsed = text.split_once('/').and_then(|(address, bits)| {
            let is_plain = !bits.is_empty()
                && bits.bytes().all(|digit| digit.is_ascii_digit())
                && (bits == "0" || !bits.starts_with('0'));
            let address: IpAddr = address.parse().ok()?;
            let bits: u32 = bits.parse().ok().filter(|_| is_plain)?;
            let bits_max = if address.is_ipv4() { 32 } else { 128 };
            (bits <= bits_max).then_some(Self { address, bits })
        });
        parsed.ok_or_else(|| {
            let text: String = text.chars().take(64).collect();
            format!("`{text}` is not a CIDR block such as `10.0.0.0/8`")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_holds_its_addresses() {
        let contains = |block: &str, address: &str| {
            block
                .parse::<Cidr>()
                .unwrap()
                .contains(address.parse().unwrap())
        };
        assert!(contains("10.0.0.0/8", "10.255.1.2"));
        assert!(!contains("10.0.0.0/8", "11.0.0.0"));
        assert!(contains("10.1.2.3/8", "10.9.9.9"));
        assert!(contains("0.0.0.0/0", "255.1.1.1"));
        assert!(contains("fe80::/10", "fe80::1"));
        assert!(!contains("10.0.0.0/8", "::ffff:10.1.2.3"));
        assert!(!contains("::/0", "10.1.2.3"));
        assert!(contains("10.1.2.3/32", "10.1.2.3"));
    }

    #[test]
    fn what_is_no_block_is_refused() {
        for bad in [
            "10.0.0.0",
            "10.0.0.0/33",
            "10.0.0.0/+8",
            "10.0.0.0/08",
            "x/8",
            "10.0.0.0/",
            "::/129",
        ] {
            assert!(bad.parse::<Cidr>().is_err(), "{bad}");
        }
    }
}
