//! `/cpus`: who is there, and how to start them (Devicetree Specification 3.7 and 3.8; Arm binding `cpus.yaml`).

use super::node::Node;
use super::tree::Tree;
use super::value::{number, string};
use super::walk::Walk;
use crate::cpu::{Cpu, CpuStatus, Earlier, EnableMethod, MPIDR_AFFINITY};
use crate::error::{Error, Fault};

/// The CPU nodes alone, in tree order.
struct CpuNodes<'a> {
    walk: Walk<'a>,
    /// `/cpus`, once the walk has come to it.
    container: Option<Node<'a>>,
}

impl<'a> CpuNodes<'a> {
    fn new(tree: Tree<'a>) -> Self {
        Self { walk: Walk::new(tree), container: None }
    }

    fn step(&mut self) -> Option<Node<'a>> {
        loop {
            let node = self.walk.step()?;
            if node.depth == 1 {
                if self.container.is_some() {
                    return None;
                }
                self.container = node.is_at(1, "cpus").then_some(node);
            } else if node.depth == 2 && self.container.is_some() {
                let is_cpu = match node.props.device_type {
                    Some(kind) => string(kind) == Some("cpu"),
                    None => node.name.base == "cpu",
                };
                if is_cpu {
                    return Some(node);
                }
            }
        }
    }

    /// `reg` of a node this just returned: its MPIDR, and what is odd about it.
    ///
    /// A number for each hardware thread may stand in it (Devicetree Specification 3.8.1), of which the first is that of the thread
    /// that starts, and boards have been seen to add a size.
    fn mpidr(&self, node: &Node<'a>) -> Result<(u64, Option<Error<'a>>), Error<'a>> {
        let Some(reg) = node.props.reg else {
            return Err(Error::node_fault(Fault::Property, node.path, "CPU without reg"));
        };
        let cells = self.walk.address_cells(node);
        if !matches!(cells, 1 | 2) {
            let error = Error::property(node.path, "reg", "/cpus has #address-cells other than 1 or 2");
            return Err(error.value(cells.into()));
        }
        let width = 4 * cells as usize;
        let Some((first, rest)) = reg.split_at_checked(width).filter(|_| reg.len().is_multiple_of(4)) else {
            let error = Error::property(node.path, "reg", "length does not fit #address-cells of /cpus");
            return Err(error.value(reg.len() as u64));
        };
        let longer = "longer than #address-cells of /cpus: the first number is used, of bytes";
        let note =
            (!rest.is_empty()).then(|| Error::property(node.path, "reg", longer).value(reg.len() as u64));
        let mpidr = number(first).unwrap_or(0) as u64;
        if mpidr & !MPIDR_AFFINITY != 0 {
            return Err(
                Error::property(node.path, "reg", "bits outside the MPIDR affinity fields").value(mpidr)
            );
        }
        Ok((mpidr, note))
    }

    fn read(&self, node: &Node<'a>) -> Result<Cpu<'a>, Error<'a>> {
        let (mpidr, note) = self.mpidr(node)?;
        // `enable-method` of the CPU, or of `/cpus` if the CPU has none.
        let method = match (node.string("enable-method")?, &self.container) {
            (None, Some(container)) => container.string("enable-method")?,
            (method, _) => method,
        };
        let method = match method {
            Some("psci") => EnableMethod::Psci,
            Some("spin-table") => EnableMethod::SpinTable { release_addr: node.number("cpu-release-addr")? },
            Some(other) => EnableMethod::Unknown(other),
            None => EnableMethod::Missing,
        };
        let status = match node.props.status.map(string) {
            None | Some(Some("okay" | "ok")) => CpuStatus::Okay,
            Some(Some(status)) if status.starts_with("fail") => CpuStatus::Fail,
            Some(_) => CpuStatus::Disabled,
        };
        Ok(Cpu { mpidr, method, status, path: node.path, note })
    }
}

/// How many CPU nodes there are, of whatever status.
pub(super) fn count(tree: Tree<'_>) -> usize {
    let mut nodes = CpuNodes::new(tree);
    core::iter::from_fn(|| nodes.step()).count()
}

/// See [`Machine::cpus`](crate::Machine::cpus).
pub(crate) struct Cpus<'a> {
    tree: Tree<'a>,
    nodes: CpuNodes<'a>,
    any: bool,
    known: Earlier,
}

impl<'a> Cpus<'a> {
    pub(crate) fn new(tree: Tree<'a>) -> Self {
        Self { tree, nodes: CpuNodes::new(tree), any: false, known: Earlier::NONE }
    }

    fn is_duplicate(&mut self, cpu: &Cpu<'a>) -> bool {
        if !self.known.may_have(cpu.mpidr) {
            return false;
        }
        let mut earlier = CpuNodes::new(self.tree);
        while let Some(node) = earlier.step() {
            if node.path == cpu.path {
                break;
            }
            if earlier.mpidr(&node).is_ok_and(|(mpidr, _)| mpidr == cpu.mpidr) {
                return true;
            }
        }
        false
    }
}

impl<'a> Iterator for Cpus<'a> {
    type Item = Result<Cpu<'a>, Error<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        let Some(node) = self.nodes.step() else {
            let first = !core::mem::replace(&mut self.any, true);
            return first.then_some(Err(Error::absent("no CPU node in /cpus")));
        };
        self.any = true;
        let cpu = self.nodes.read(&node);
        match cpu {
            Ok(cpu) if self.is_duplicate(&cpu) => {
                let error = Error::property(cpu.path, "reg", "an earlier CPU has the same MPIDR");
                Some(Err(error.value(cpu.mpidr)))
            }
            cpu => Some(cpu),
        }
    }
}
