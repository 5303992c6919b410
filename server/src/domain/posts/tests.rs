//! Rules of posts.
