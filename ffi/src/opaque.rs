//! The types of handles. What they stand for is in `node`, `pmd`,
//! `pmd_client`, `doc`,
//! `session` and `session_list`.

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

/// A shared document: a JSON value that several replicas change at once, and that becomes the same
/// everywhere. Made by `distflow_doc_open`, released by `distflow_doc_free`. Since 0.1.0.
pub struct distflow_doc {
    _opaque: [u8; 0],
}

/// A game session on an MQTT broker that this process has created, joined or looks at. Made by
/// `distflow_session_create`, `_join` or `_observe`, ended by `distflow_session_leave`, released by
/// `distflow_session_free`. Since 0.1.0.
pub struct distflow_session {
    _opaque: [u8; 0],
}

/// The list of the sessions on a broker, which keeps itself up to date. Made by
/// `distflow_session_list_open`, released by `distflow_session_list_free`. Since 0.1.0.
pub struct distflow_session_list {
    _opaque: [u8; 0],
}
