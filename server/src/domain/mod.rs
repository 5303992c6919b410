//! Operations, one file each, declared once and served by every door.
