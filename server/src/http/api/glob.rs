//! Patterns of channel names: `*` is any run of characters, `?` any one.

/// Whether a name fits a pattern. Takes time of the order of their lengths' product at worst.
pub(super) fn fits(pattern: &str, name: &str) -> bool {
    let (pattern, name) = (pattern.as_bytes(), name.as_bytes());
    let (mut p, mut n) = (0, 0);
    // Where to go back to: after the last star, and how much it has swallowed.
    let mut star = None;
    while n < name.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p + 1, n));
                p += 1;
            }
            Some(b'?') => (p, n) = (p + 1, n + 1),
            Some(byte) if *byte == name[n] => (p, n) = (p + 1, n + 1),
            _ => match star {
                Some((after, swallowed)) => {
                    star = Some((after, swallowed + 1));
                    (p, n) = (after, swallowed + 1);
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn stars_and_question_marks() {
        for (pattern, name, fit) in [
            ("", "", true),
            ("", "a", false),
            ("*", "", true),
            ("chat:*", "chat:1", true),
            ("chat:*", "news:1", false),
            ("*:1", "chat:1", true),
            ("a*b*c", "axxbxxbc", true),
            ("a*b*c", "axxbxx", false),
            ("chat:?", "chat:12", false),
            ("chat:?", "chat:1", true),
            ("**", "anything", true),
        ] {
            assert_eq!(fits(pattern, name), fit, "{pattern} on {name}");
        }
    }

    proptest! {
        /// Against the obvious recursion.
        #[test]
        fn as_the_definition_says(pattern in "[ab*?]{0,8}", name in "[ab]{0,8}") {
            fn obvious(pattern: &[u8], name: &[u8]) -> bool {
                match (pattern, name) {
                    ([], []) => true,
                    ([b'*', rest @ ..], _) => {
                        obvious(rest, name) || (!name.is_empty() && obvious(pattern, &name[1..]))
                    }
                    ([b'?', rest @ ..], [_, name @ ..]) => obvious(rest, name),
                    ([p, rest @ ..], [n, name @ ..]) => p == n && obvious(rest, name),
                    _ => false,
                }
            }
            prop_assert_eq!(fits(&pattern, &name), obvious(pattern.as_bytes(), name.as_bytes()));
        }
    }
}
