//! One list of fields, from which come the structs, the names in the tables and the way to fill them.

/// A field as the layout wants it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// The Go type; one without a name by the beginning of its text, `struct { …`.
    pub of: &'static str,
    /// Go names from the outside in, with dots; alternatives (a renamed field) are separated by `|`. `#` stands for the
    /// size of the type itself; a name that ends in it for the size of that field.
    pub path: &'static str,
    /// Not in every release.
    pub is_optional: bool,
}

/// Declares one struct per Go type, all values in bytes: offsets, and `bytes`, the size of the type.
macro_rules! layout {
    (@field $of:literal $path:literal) => { Field { of: $of, path: $path, is_optional: false } };
    (@field $of:literal $path:literal optional) => { Field { of: $of, path: $path, is_optional: true } };
    (@value ($value:expr)) => { Some($value) };
    (@value ($value:expr) optional) => { $value };
    (@type) => { u32 };
    (@type optional) => { Option<u32> };
    (@take $values:ident) => { $values.next()?? };
    (@take $values:ident optional) => { $values.next()? };
    ($($(#[$doc:meta])* $type:ident $name:ident $of:literal {
        $($field:ident $(($optional:ident))?: $path:literal,)*
    })*) => {
        $($(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct $type {
            /// Size of the type.
            pub bytes: u32,
            $(pub $field: layout!(@type $($optional)?),)*
        })*

        /// Offsets and sizes, in bytes.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct Layout { $(pub $name: $type,)* }

        impl Layout {
            /// Every field, in the order of [`Layout::from_values`].
            pub fn fields() -> Vec<Field> {
                [$(&[
                    Field { of: $of, path: "#", is_optional: false },
                    $(layout!(@field $of $path $($optional)?),)*
                ][..]),*]
                .concat()
            }

            /// In the order of [`Layout::fields`].
            pub fn values(&self) -> Vec<Option<u32>> {
                [$(&[
                    Some(self.$name.bytes),
                    $(layout!(@value (self.$name.$field) $($optional)?),)*
                ][..]),*]
                .concat()
            }

            /// `None`: one that every release has is missing.
            pub fn from_values(values: impl IntoIterator<Item = Option<u32>>) -> Option<Layout> {
                let mut values = values.into_iter();
                Some(Layout {
                    $($name: $type {
                        bytes: values.next()??,
                        $($field: layout!(@take values $($optional)?),)*
                    },)*
                })
            }
        }
    };
}
pub(super) use layout;
