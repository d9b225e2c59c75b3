//! What bindings exchange with their languages as JSON text: options in; errors, nodes and events
//! out. A text is quicker to write and to read there than an object is to build member by member,
//! and every language gets the same.

mod options;
mod report;

pub use options::{node_options, pmd_options};
pub use report::{array, failure, node_event, peer, pmd_event, registered};
