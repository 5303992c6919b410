//! Lists that lie in several partitions, each in order, as one list in order.

use std::collections::VecDeque;

use crate::store::StoreError;

/// Least and most asked of a partition at once.
const PAGE_MIN: usize = 16;
const PAGE_MAX: usize = 1_000;

/// Takes at most `limit` items above `after` from `parts` partitions, of each of which `fetch` gives the next few in order.
/// A partition that gives fewer than asked for has no more.
pub(super) async fn merged<K, V, F>(
    parts: u32,
    after: Option<K>,
    limit: usize,
    fetch: impl Fn(i32, Option<K>, usize) -> F,
) -> Result<Vec<(K, V)>, StoreError>
where
    K: Ord + Clone,
    F: Future<Output = Result<Vec<(K, V)>, StoreError>>,
{
    // Twice an even share, so that most lists need one round.
    let even = limit / parts.max(1) as usize;
    let page = even
        .saturating_mul(2)
        .clamp(PAGE_MIN, PAGE_MAX)
        .min(limit.max(1));
    let mut lanes: Vec<Lane<K, V>> = (0..i32::try_from(parts).unwrap_or(i32::MAX))
        .map(|part| Lane {
            part,
            after: after.clone(),
            waiting: VecDeque::new(),
            is_ended: false,
        })
        .collect();
    let mut found = Vec::new();
    loop {
        let hungry = lanes
            .iter_mut()
            .filter(|lane| lane.waiting.is_empty() && !lane.is_ended);
        let fills = hungry.map(|lane| {
            let more = fetch(lane.part, lane.after.clone(), page);
            async move {
                let more = more.await?;
                lane.is_ended = more.len() < page;
                lane.after = more
                    .last()
                    .map(|(key, _)| key.clone())
                    .or(lane.after.take());
                lane.waiting.extend(more);
                Ok::<_, StoreError>(())
            }
        });
        futures_util::future::try_join_all(fills).await?;
        // Until one that may have more is empty, the least of the first ones is the least of all.
        while found.len() < limit
            && lanes
                .iter()
                .all(|lane| lane.is_ended || !lane.waiting.is_empty())
        {
            let firsts = lanes.iter_mut().filter(|lane| !lane.waiting.is_empty());
            let least = firsts.min_by(|a, b| a.first().cmp(&b.first()));
            match least.and_then(|lane| lane.waiting.pop_front()) {
                Some(item) => found.push(item),
                None => return Ok(found),
            }
        }
        if found.len() >= limit {
            return Ok(found);
        }
    }
}

struct Lane<K, V> {
    part: i32,
    after: Option<K>,
    waiting: VecDeque<(K, V)>,
    is_ended: bool,
}

impl<K, V> Lane<K, V> {
    fn first(&self) -> Option<&K> {
        self.waiting.front().map(|(key, _)| key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_list_is_whole_and_in_order_however_it_is_spread_and_paged() {
        for parts in [1_u32, 3, 7] {
            for limit in [0_usize, 1, 5, 99, 1_000, usize::MAX] {
                for after in [None, Some(0_u32), Some(40), Some(499), Some(600)] {
                    // Most lie in one partition, so that it must be asked again and again.
                    let home = |key: u32| {
                        if key.is_multiple_of(9) {
                            key % parts
                        } else {
                            0
                        }
                    };
                    let fetch = async |part: i32, after: Option<u32>, limit: usize| {
                        let mine = (0..500).filter(|key| home(*key) == part.unsigned_abs());
                        let rest = mine.filter(|key| after.is_none_or(|after| *key > after));
                        Ok(rest.take(limit).map(|key| (key, ())).collect())
                    };
                    let found = merged(parts, after, limit, fetch).await.expect("read");
                    let all = (0..500).filter(|key| after.is_none_or(|after| *key > after));
                    let all: Vec<_> = all.take(limit).map(|key| (key, ())).collect();
                    assert_eq!(found, all, "{parts} {limit} {after:?}");
                }
            }
        }
    }
}
