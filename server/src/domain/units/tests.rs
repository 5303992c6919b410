//! Rules of this area.
