//! Where rows are, by the hash of their keys: entries lie in one array, behind one another when their places are taken,
//! so that a look-up goes to memory once. Most of what a cached row costs is waiting for memory.

/// Slots by hash. Several slots may have one hash.
#[derive(Default)]
pub struct SlotsByHash {
    /// The hash above, the slot below, plus one; 0 for none. Empty, or a power of two of them of which at most half are
    /// taken.
    entries: Vec<u64>,
    len: usize,
}

impl SlotsByHash {
    pub fn len(&self) -> usize {
        self.len
    }

    /// The slot with this hash that `is_it` finds right.
    #[inline]
    pub fn find(&self, hash: u32, is_it: impl Fn(u32) -> bool) -> Option<u32> {
        let place = self.place(hash, is_it)?;
        Some(slot_of(self.entries[place]))
    }

    #[inline]
    fn place(&self, hash: u32, is_it: impl Fn(u32) -> bool) -> Option<usize> {
        let mask = self.entries.len().checked_sub(1)?;
        let mut place = hash as usize & mask;
        while self.entries[place] != 0 {
            let entry = self.entries[place];
            if hash_of(entry) == hash && is_it(slot_of(entry)) {
                return Some(place);
            }
            place = (place + 1) & mask;
        }
        None
    }

    pub fn insert(&mut self, hash: u32, slot: u32) {
        if 2 * (self.len + 1) > self.entries.len() {
            let larger = vec![0; (2 * self.entries.len()).max(16)];
            let entries = std::mem::replace(&mut self.entries, larger);
            entries.into_iter().filter(|entry| *entry != 0).for_each(|entry| self.put(entry));
        }
        self.put((u64::from(hash) << 32) | (u64::from(slot) + 1));
        self.len += 1;
    }

    fn put(&mut self, entry: u64) {
        let mask = self.entries.len() - 1;
        let mut place = hash_of(entry) as usize & mask;
        while self.entries[place] != 0 {
            place = (place + 1) & mask;
        }
        self.entries[place] = entry;
    }

    /// Removes a slot, if it is there with this hash.
    pub fn remove(&mut self, hash: u32, slot: u32) {
        let Some(mut hole) = self.place(hash, |found| found == slot) else { return };
        let mask = self.entries.len() - 1;
        self.len -= 1;
        let mut place = hole;
        // What follows moves up, unless it would come before the place where it is looked for first.
        loop {
            place = (place + 1) & mask;
            let entry = self.entries[place];
            if entry == 0 {
                break;
            }
            let home = hash_of(entry) as usize & mask;
            if (place.wrapping_sub(home) & mask) >= (place.wrapping_sub(hole) & mask) {
                self.entries[hole] = entry;
                hole = place;
            }
        }
        self.entries[hole] = 0;
    }
}

fn hash_of(entry: u64) -> u32 {
    (entry >> 32) as u32
}

fn slot_of(entry: u64) -> u32 {
    entry as u32 - 1
}

#[cfg(test)]
mod tests {
    use super::SlotsByHash;

    /// Few hashes, many of them neighbours or the same, against a plain list.
    #[test]
    fn slots_are_found_exactly_as_long_as_they_are_there() {
        for seed in 0..200 {
            let (mut slots, mut model) = (SlotsByHash::default(), Vec::new());
            let mut random = 0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(seed + 1);
            let mut below = |limit: u64| {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (random >> 33) % limit
            };
            for step in 0..300_u32 {
                let hash = [below(4) as u32, u32::MAX - below(3) as u32, below(40) as u32][below(3) as usize];
                if below(5) < 3 {
                    slots.insert(hash, step);
                    model.push((hash, step));
                } else if !model.is_empty() {
                    let (hash, slot) = model.swap_remove(below(model.len() as u64) as usize);
                    slots.remove(hash, slot);
                    slots.remove(hash, u32::MAX - 1);
                }
                assert_eq!(slots.len(), model.len());
                for (hash, slot) in &model {
                    assert_eq!(slots.find(*hash, |found| found == *slot), Some(*slot));
                }
                let unknown = below(50) as u32;
                let known = model.iter().any(|(hash, _)| *hash == unknown);
                assert_eq!(slots.find(unknown, |_| true).is_some(), known);
            }
        }
    }
}
