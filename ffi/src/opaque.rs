//! The types of handles. What they stand for is in `node`, `pmd` and `pmd_client`.

/// A node: it finds or launches the PMD, is found by its alias, sends and receives messages, and
/// sees others come and go. Made by `distflow_node_open`, ended by `distflow_node_close`,
/// released by `distflow_node_free`.
pub struct distflow_node {
    _opaque: [u8; 0],
}

/// A PMD (port mapper daemon) in this process: the registry that nodes find each other by. Made
/// by `distflow_pmd_open`, ended by `distflow_pmd_close`, released by `distflow_pmd_free`.
pub struct distflow_pmd {
    _opaque: [u8; 0],
}

/// A connection to a PMD, to ask it without being a node. Made by `distflow_pmd_client_open`,
/// ended by `distflow_pmd_client_close`, released by `distflow_pmd_client_free`.
pub struct distflow_pmd_client {
    _opaque: [u8; 0],
}
