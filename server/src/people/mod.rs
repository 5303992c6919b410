//! Units, profiles, relations, groups and rights: the only place that decides who may see what.
