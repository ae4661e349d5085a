//! A node with what is asked of many nodes at hand.

use super::name::Name;
use super::tokens::Tokens;
use super::value::{cell, string};
use crate::error::Error;
use crate::path::Path;
use fdt::nodes::NodeProperty;
use fdt::properties::values::PropertyValue;

macro_rules! props {
    ($($(#[$doc:meta])* $field:ident = $name:literal $(| $old:literal)?,)*) => {
        /// The properties that are looked at on many nodes, all found in one pass over the list.
        #[derive(Clone, Copy, Default)]
        pub(super) struct Props<'a> {
            $($(#[$doc])* pub $field: Option<&'a [u8]>,)*
        }

        impl<'a> Props<'a> {
            /// Reads on over all properties that come next.
            pub fn read(tokens: &mut Tokens<'a>) -> Self {
                let mut props = Self::default();
                while let Some(property) = tokens.property() {
                    match property.name {
                        $($name $(| $old)? => { props.$field.get_or_insert(property.value); })*
                        _ => {}
                    }
                }
                props
            }
        }
    };
}

props! {
    address_cells = "#address-cells",
    size_cells = "#size-cells",
    interrupt_cells = "#interrupt-cells",
    compatible = "compatible",
    device_type = "device_type",
    interrupt_controller = "interrupt-controller",
    interrupt_parent = "interrupt-parent",
    phandle = "phandle" | "linux,phandle",
    ranges = "ranges",
    reg = "reg",
    status = "status",
}

/// A node as the walk meets it.
#[derive(Clone, Copy)]
pub(super) struct Node<'a> {
    /// From its first property on.
    pub tokens: Tokens<'a>,
    pub path: Path<'a>,
    pub depth: usize,
    pub name: Name<'a>,
    pub props: Props<'a>,
    /// The node and everything above it is "okay" (Devicetree Specification 2.3.4).
    pub enabled: bool,
    /// `interrupt-parent` of the node or of the nearest node above that has one (ibid. 2.4.1).
    pub interrupt_parent: Option<u32>,
}

impl<'a> Node<'a> {
    pub fn properties(&self) -> impl Iterator<Item = NodeProperty<'a>> + use<'a> {
        let mut tokens = self.tokens;
        core::iter::from_fn(move || tokens.property())
    }

    /// A property that is not among [`Props`].
    pub fn property(&self, name: &str) -> Option<&'a [u8]> {
        self.properties().find(|property| property.name == name).map(|property| property.value)
    }

    /// True at that depth for that name without unit address.
    pub fn is_at(&self, depth: usize, base: &str) -> bool {
        self.depth == depth && self.name.base == base && self.name.unit.is_none()
    }

    /// Its phandle (Devicetree Specification 2.3.3).
    pub fn phandle(&self) -> Option<u32> {
        cell(self.props.phandle)
    }

    /// A property of one cell, where absence is fine and another length is not.
    pub fn cell(&self, name: &'static str) -> Result<Option<u32>, Error<'a>> {
        self.value(name, "not one cell, bytes")
    }

    /// A number of one or two cells, where absence is fine.
    pub fn number(&self, name: &'static str) -> Result<Option<u64>, Error<'a>> {
        self.value(name, "not one or two cells, bytes")
    }

    /// A property as a number that has to be of its length; `what` it is if it is not.
    fn value<T: PropertyValue<'a>>(
        &self,
        name: &'static str,
        what: &'static str,
    ) -> Result<Option<T>, Error<'a>> {
        let Some(value) = self.property(name) else { return Ok(None) };
        match T::parse(value) {
            Ok(value) => Ok(Some(value)),
            Err(_) => Err(Error::property(self.path, name, what).value(value.len() as u64)),
        }
    }

    /// A property that is a string, or the first string of a list.
    pub fn string(&self, name: &'static str) -> Result<Option<&'a str>, Error<'a>> {
        let Some(value) = self.property(name) else { return Ok(None) };
        match string(value) {
            Some(string) => Ok(Some(string)),
            None => Err(Error::property(self.path, name, "not UTF-8 text")),
        }
    }
}
