//! tgid → process, Go build, wanted or not: the only steady-state reader of other processes, off the event path.
mod closeup;
mod describe;
mod follow;
mod heap;
mod instant;
mod lives;
mod malloc;
pub mod members;
mod news;
mod points;
pub mod profiles;
mod rooms;
mod rules;
mod select;
mod unseen;
mod walked;
mod watch;
pub mod waterfall;
mod whereabouts;

pub use closeup::{Closeup, LastState, Site};
pub use follow::Follower;
pub use lives::Lives;
pub use news::{FollowError, News};
pub use select::Selector;
pub use watch::{Pace, Sampling, Watcher};
pub use whereabouts::{HeapReader, TellWhere, Whereabouts};
