//! What a node tells its application.

use std::sync::Arc;

use crate::error::Error;
use crate::names::NodeId;
use crate::wire::pmd::{LeaveCause, NodeInfo};

/// Something that happened around a node.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum NodeEvent {
    /// A node joined. Nodes that were there when this node started are not announced; ask
    /// `peers` or `discover` for them.
    PeerJoin(Arc<NodeInfo>),
    /// A node left, and why. As with the originals, this includes the node itself when it shuts
    /// down.
    PeerLeave(Arc<NodeInfo>, LeaveCause),
    /// The connection to the PMD is lost. Messages to known peers still go.
    RegistryLost(Error),
    /// Registered with a PMD again, and the table of peers is right again.
    RegistryRestored,
    /// The PMD refused to register this node again; it is tried again with back-off.
    RegistrationRefused(Error),
    /// Messages found the mailbox full. The number is the total since the node started; at
    /// most one such event a second.
    MailboxOverflow(u64),
    /// Messages that `send` had accepted can't be delivered any more.
    SendFailed {
        /// Whom they were for.
        to: NodeId,
        /// How many.
        messages: u64,
        /// Why.
        error: Error,
    },
}
