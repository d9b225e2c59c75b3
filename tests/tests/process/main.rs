//! Real processes: starting, killing, freezing and forking them.

mod aliases;
mod auto_start;
mod command_line;
mod detection;
mod fork;
mod half_open;
mod nodes;
mod registry_loss;
