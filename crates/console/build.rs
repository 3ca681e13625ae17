//! The embedded files are part of this crate: it is compiled anew when they change, also from none to some.

fn main() {
    println!("cargo::rerun-if-changed=../../dashboards/console/dist");
}
