//! tgid → process, Go build, wanted or not: the only steady-state reader of other processes, off the event path.
mod describe;
mod follow;
mod heap;
mod malloc;
pub mod profiles;
mod select;
pub mod waterfall;

pub use follow::{FollowError, Follower, News};
pub use select::Selector;
