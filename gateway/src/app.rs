//! Wires the parts and owns every task.
