//! Strongly connected components (Tarjan), without recursion, so that no input is too deep.

/// The component of each node of a graph of `successors.len()` nodes, by number; a component's number is greater than
/// those of the components that it leads to.
pub(super) fn components(successors: &[Vec<u32>]) -> Vec<u32> {
    let mut search = Search {
        successors,
        order: vec![UNSEEN; successors.len()],
        low: vec![0; successors.len()],
        component: vec![UNSEEN; successors.len()],
        open: Vec::new(),
        next_order: 0,
        next_component: 0,
    };
    for root in 0..successors.len() as u32 {
        if search.order_of(root) == UNSEEN {
            search.from(root);
        }
    }
    search.component
}

const UNSEEN: u32 = u32::MAX;

struct Search<'a> {
    successors: &'a [Vec<u32>],
    order: Vec<u32>,
    low: Vec<u32>,
    component: Vec<u32>,
    open: Vec<u32>,
    next_order: u32,
    next_component: u32,
}

#[expect(
    clippy::indexing_slicing,
    reason = "a node is an index of the graph that is searched"
)]
impl Search<'_> {
    // PANIC: every vector has one entry a node, and a successor is a node.
    fn order_of(&self, node: u32) -> u32 {
        self.order[node as usize]
    }

    fn from(&mut self, root: u32) {
        let mut walk = vec![(root, 0usize)];
        self.enter(root);
        while let Some((node, at)) = walk.last_mut() {
            let here = *node;
            if let Some(next) = self.successors[here as usize].get(*at).copied() {
                *at += 1;
                if self.order_of(next) == UNSEEN {
                    self.enter(next);
                    walk.push((next, 0));
                } else if self.component[next as usize] == UNSEEN {
                    self.low[here as usize] = self.low[here as usize].min(self.order_of(next));
                }
                continue;
            }
            walk.pop();
            if let Some((parent, _)) = walk.last() {
                let parent = *parent as usize;
                self.low[parent] = self.low[parent].min(self.low[here as usize]);
            }
            if self.low[here as usize] == self.order_of(here) {
                self.close(here);
            }
        }
    }

    fn enter(&mut self, node: u32) {
        self.order[node as usize] = self.next_order;
        self.low[node as usize] = self.next_order;
        self.next_order += 1;
        self.open.push(node);
    }

    fn close(&mut self, head: u32) {
        while let Some(node) = self.open.pop() {
            self.component[node as usize] = self.next_component;
            if node == head {
                break;
            }
        }
        self.next_component += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_circle_is_one_component_after_what_it_leads_to() {
        let found = components(&[vec![1], vec![2], vec![0, 3], vec![], vec![4]]);
        assert!(found[0] == found[1] && found[1] == found[2]);
        assert!(found[3] < found[0]);
        assert!(found[4] != found[0] && found[4] != found[3]);
    }

    #[test]
    fn a_long_chain_does_not_recurse() {
        let chain: Vec<Vec<u32>> = (1..=200_000)
            .map(|next| vec![next])
            .chain([vec![]])
            .collect();
        let found = components(&chain);
        assert!(found.windows(2).all(|pair| pair[0] > pair[1]));
    }
}
