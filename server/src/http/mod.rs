//! The thin edge: REST doors, server API, problem details, OpenAPI, health and metrics.
