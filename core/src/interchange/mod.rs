//! What bindings exchange with their languages as JSON text: options in; errors, nodes and events
//! out. A text is quicker to write and to read there than an object is to build member by member,
//! and every language gets the same.

mod document;
mod options;
mod report;
#[cfg(feature = "mqtt")]
mod session;
#[cfg(feature = "mqtt")]
mod session_report;

pub use document::{
    Place, clock, clock_text, document, document_events, inspect, operations, read_operations,
    receive_all,
};
pub use options::{node_options, pmd_options};
pub use report::{
    array, failure, node_event, node_event_name, peer, pmd_event, pmd_event_name, registered,
};
#[cfg(feature = "mqtt")]
pub use session::{SESSION_OPTION_NAMES, broker_options, create_options};
#[cfg(feature = "mqtt")]
pub use session_report::{
    session_event, session_listing, session_listings, session_rows, session_view,
};
