//! The variables of Go's runtime that are read.
macro_rules! globals {
    ({ $($needed:ident $needed_name:literal,)* } { $($other:ident $other_name:literal,)* }) => {
        /// Addresses of variables of package `runtime`: link-time ones of a file, absolute ones in a [`super::Runtime`].
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Globals {
            $(#[doc = $needed_name] pub $needed: u64,)*
            $(#[doc = $other_name] pub $other: Option<u64>,)*
        }

        impl Globals {
            /// Without these nothing is read.
            pub const NEEDED: &[&str] = &[$($needed_name),*];
            /// Each of these only serves one view.
            pub const OTHERS: &[&str] = &[$($other_name),*];

            /// `Err`: the name of a needed one that is not found.
            pub fn look_up(mut find: impl FnMut(&'static str) -> Option<u64>) -> Result<Globals, &'static str> {
                Ok(Globals {
                    $($needed: find($needed_name).ok_or($needed_name)?,)*
                    $($other: find($other_name),)*
                })
            }

            /// All of them moved by the load bias; `None`: out of the address space.
            pub fn moved(&self, bias: i64) -> Option<Globals> {
                Some(Globals {
                    $($needed: self.$needed.checked_add_signed(bias)?,)*
                    $($other: match self.$other {
                        Some(address) => Some(address.checked_add_signed(bias)?),
                        None => None,
                    },)*
                })
            }
        }
    };
}

globals! {
    {
        memstats "runtime.memstats",
        gc_controller "runtime.gcController",
        mheap "runtime.mheap_",
        sched "runtime.sched",
        allp "runtime.allp",
        allgs "runtime.allgs",
    }
    {
        work "runtime.work",
        scavenge "runtime.scavenge",
        gcphase "runtime.gcphase",
        allm "runtime.allm",
        mbuckets "runtime.mbuckets",
        mem_profile_rate "runtime.MemProfileRate",
        persistent_chunks "runtime.persistentChunks",
        gc_bits_arenas "runtime.gcBitsArenas",
        buckhash "runtime.buckhash",
    }
}
