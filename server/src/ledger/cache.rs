//! A small bounded cache in two generations: what is used stays, what is not goes in bulk. Two
//! maps and no links are enough for what an actor looks up again.

use std::borrow::Borrow;
use std::hash::Hash;

use hashbrown::HashMap;

/// Keeps between `size` and `2 * size` of the most recently used values.
#[derive(Debug)]
pub(crate) struct Cache<K, V> {
    young: HashMap<K, V>,
    old: HashMap<K, V>,
    size: usize,
}

impl<K: Hash + Eq + Clone, V: Clone> Cache<K, V> {
    pub(crate) fn new(size: usize) -> Self {
        Self {
            young: HashMap::new(),
            old: HashMap::new(),
            size: size.max(1),
        }
    }

    /// How many values are kept.
    pub(crate) fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }

    pub(crate) fn get<Q>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        if let Some(value) = self.young.get(key) {
            return Some(value.clone());
        }
        let (key, value) = self.old.remove_entry(key)?;
        self.insert(key, value.clone());
        Some(value)
    }

    pub(crate) fn insert(&mut self, key: K, value: V) {
        self.old.remove(&key);
        if self.young.len() >= self.size && !self.young.contains_key(&key) {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, value);
    }

    pub(crate) fn remove<Q>(&mut self, key: &Q)
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.young.remove(key);
        self.old.remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_what_is_used_and_stays_bounded() {
        let mut cache = Cache::new(4);
        for i in 0..100 {
            cache.insert(i, i);
            assert_eq!(cache.get(&0), Some(0), "used all the time, so it stays");
            assert!(cache.young.len() + cache.old.len() <= 8);
        }
        assert_eq!(cache.get(&1), None);
        cache.remove(&0);
        assert_eq!(cache.get(&0), None);
    }

    #[test]
    fn a_newer_value_hides_the_older() {
        let mut cache = Cache::new(1);
        cache.insert("a", 1);
        cache.insert("b", 1);
        cache.insert("a", 2);
        assert_eq!(cache.get("a"), Some(2));
    }
}
