//! YAML and JSON text as a tree of nodes with places.
