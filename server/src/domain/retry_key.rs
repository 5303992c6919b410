//! The caller's key against doing something twice: one type for every door.

/// Longest key in characters; keys are random ids, 36 characters as a rule.
pub const RETRY_KEY_LENGTH_MAX: usize = 128;

/// A key of 1 to 128 visible ASCII characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetryKey(String);

/// What was given as a key is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an idempotency key has 1 to {RETRY_KEY_LENGTH_MAX} visible ASCII characters")]
pub struct NoRetryKey;

impl RetryKey {
    /// Reads a key.
    ///
    /// # Errors
    /// [`NoRetryKey`] when it is empty, too long, or has other characters.
    pub fn parse(text: &str) -> Result<Self, NoRetryKey> {
        let visible = text.bytes().all(|byte| byte.is_ascii_graphic());
        if visible && (1..=RETRY_KEY_LENGTH_MAX).contains(&text.len()) {
            Ok(Self(text.to_owned()))
        } else {
            Err(NoRetryKey)
        }
    }

    /// The key as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
