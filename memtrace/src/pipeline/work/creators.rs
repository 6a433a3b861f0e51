//! Who made the mappings, for `stat --stack`.
use crate::aggregate::Creators;
use crate::event::{Event, TaskWhat};
use crate::pipeline::sites::Sites;
use crate::snapshot::Snapshot;

/// Who mapped what; a new program has none of the mappings of the one before.
pub(super) fn remember((sites, creators): &mut (Sites, Creators), event: &Event) {
    match event {
        Event::Map(map) => creators.apply(map, || sites.creator(map)),
        Event::Task(task) if matches!(task.what, TaskWhat::Exec { .. } | TaskWhat::Exit { .. }) => {
            creators.forget_all(task.meta.target);
        }
        _ => {}
    }
}

pub(super) fn name_creators(creators: &Creators, snapshot: &mut Snapshot) {
    for process in &mut snapshot.processes {
        if let [_, Some(end)] = &mut process.waterfalls {
            creators.name(process.target, end);
        }
    }
    if creators.left_out > 0 {
        snapshot.notes.push(format!("{} mappings have no creator: there was no room for more", creators.left_out));
    }
}
