//! Maps of one thread. As in the kernel an element stays where it is, whoever else has looked it up.
use super::kread::DIRECT_MAP;
use crate::scratch::{Chunk, Scratch};
use memtrace_common::host::Host;
use memtrace_common::refault::{CHUNK_PAGES, ChunkKey};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;

type Key = (u64, u32, u32);

thread_local! {
    static CHUNKS: RefCell<HashMap<Key, *mut Chunk>> = RefCell::default();
    static ROOM: Cell<usize> = const { Cell::new(0) };
}

/// Empties the table, which takes so many chunks from now on.
pub(crate) fn start(room: usize) {
    CHUNKS.with_borrow_mut(HashMap::clear);
    ROOM.set(room);
}

fn key(key: &ChunkKey) -> Key {
    (key.chunk, key.target, key.epoch)
}

pub(crate) fn chunk(of: &ChunkKey) -> Option<&'static mut Chunk> {
    let chunk = CHUNKS.with_borrow(|chunks| chunks.get(&key(of)).copied());
    // SAFETY: leaked by `chunk_or_new`; the code under test keeps one element of a key at a time.
    chunk.map(|chunk| unsafe { &mut *chunk })
}

pub(crate) fn chunk_or_new(of: &ChunkKey) -> Option<&'static mut Chunk> {
    CHUNKS.with_borrow_mut(|chunks| {
        if !chunks.contains_key(&key(of)) && chunks.len() < ROOM.get() {
            chunks.insert(key(of), Box::leak(Box::new([0; CHUNK_PAGES])));
        }
    });
    chunk(of)
}

pub(crate) fn remove_chunk(of: &ChunkKey) {
    CHUNKS.with_borrow_mut(|chunks| chunks.remove(&key(of)));
}

/// What was there before is left in it, as in the kernel.
pub(crate) fn scratch() -> Option<&'static mut Scratch> {
    Some(Box::leak(Box::new(Scratch { entries: [u64::MAX; CHUNK_PAGES], counters: [7; 20], words: [7; 4] })))
}

pub(crate) fn host() -> Option<&'static mut Host> {
    Some(Box::leak(Box::new(Host { direct_map: DIRECT_MAP, ..Host::default() })))
}
