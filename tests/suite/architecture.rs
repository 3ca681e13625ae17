//! The arrows of `docs/ARCHITECTURE.md`, checked on what cargo resolves.
//!
//! ```text
//! cargo metadata ─▶ Graph ─▶ violations(TABLE) ─▶ a list of sentences, which must be empty
//! ```
//! Own dependencies are checked as they are declared, of every kind. What a crate must not link is searched in the
//! whole graph of its normal dependencies; procedural macros and build scripts run at compile time and link nothing.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::process::Command;

use cargo_metadata::{CrateType, DependencyKind, MetadataCommand, TargetKind};

/// One row of the table of arrows.
struct Row {
    name: &'static str,
    /// Which of our crates it may depend on.
    may_depend_on: &'static [&'static str],
    /// What must be nowhere below it.
    must_not_link: &'static [&'static [&'static str]],
}

const SQL: &[&str] = &["sqlx", "sqlx-core", "sqlx-postgres", "tokio-postgres"];
const ROUTER: &[&str] = &["axum", "axum-core"];
const GRPC: &[&str] = &["tonic", "tonic-prost"];
const RUNTIME: &[&str] = &["tokio", "async-std", "smol", "async-io", "mio"];
const HTTP_CLIENT: &[&str] = &["hyper", "hyper-util", "reqwest", "ureq", "isahc", "aws-smithy-runtime"];
const ASYNC: &[&str] = &["futures", "futures-core", "futures-util", "tokio-util", "tokio-stream", "http-body"];
const DISK: &[&str] = &["redb", "rustix", "socket2", "tempfile"];
const SERVICES: &[&str] = &["central", "gateway"];
/// Central cannot decrypt, because it does not link the code.
const DECRYPTION: &[&str] = &["envelope", "kms"];

const ALL: &[&str] = &[
    "ids",
    "policy",
    "envelope",
    "kms",
    "checksums",
    "layout",
    "directory",
    "proto",
    "telemetry",
    "console",
    "central",
    "gateway",
    "cli",
    "tests",
];

const TABLE: &[Row] = &[
    Row { name: "ids", may_depend_on: &[], must_not_link: &[ASYNC, DISK, RUNTIME, GRPC, ROUTER, SQL, HTTP_CLIENT] },
    Row { name: "policy", may_depend_on: &["ids"], must_not_link: &[RUNTIME, GRPC, ROUTER, SQL, HTTP_CLIENT] },
    Row { name: "envelope", may_depend_on: &[], must_not_link: &[RUNTIME, GRPC, ROUTER, SQL, HTTP_CLIENT] },
    Row { name: "kms", may_depend_on: &["ids"], must_not_link: &[SQL, ROUTER] },
    Row {
        name: "checksums",
        may_depend_on: &[],
        must_not_link: &[ASYNC, DISK, RUNTIME, GRPC, ROUTER, SQL, HTTP_CLIENT],
    },
    Row { name: "layout", may_depend_on: &[], must_not_link: &[ASYNC, DISK, RUNTIME, GRPC, ROUTER, SQL, HTTP_CLIENT] },
    Row { name: "directory", may_depend_on: &["layout", "checksums"], must_not_link: &[SQL, ROUTER, GRPC] },
    Row { name: "proto", may_depend_on: &["ids"], must_not_link: &[SQL, ROUTER] },
    Row { name: "telemetry", may_depend_on: &[], must_not_link: &[SQL] },
    Row { name: "console", may_depend_on: &[], must_not_link: &[RUNTIME, GRPC, ROUTER, SQL, HTTP_CLIENT] },
    Row {
        name: "central",
        may_depend_on: &["ids", "policy", "proto", "telemetry", "console"],
        must_not_link: &[DECRYPTION, &["gateway"]],
    },
    Row {
        name: "gateway",
        may_depend_on: &["ids", "policy", "proto", "telemetry", "console", "envelope", "kms", "checksums", "directory"],
        must_not_link: &[SQL, &["central"]],
    },
    Row {
        name: "cli",
        may_depend_on: &["ids", "policy", "envelope", "kms", "layout"],
        must_not_link: &[SQL, SERVICES],
    },
    Row { name: "tests", may_depend_on: ALL, must_not_link: &[] },
    Row { name: "bench", may_depend_on: ALL, must_not_link: &[] },
];

/// The crates that compile protobuf, which only `proto` may use.
const PROTOBUF_COMPILERS: &[&str] = &["tonic-prost-build", "tonic-build", "prost-build", "protox"];

/// What nothing of ours may link: one TLS and crypto stack.
const BANNED: &[&str] = &["ring", "openssl", "openssl-sys", "native-tls"];

/// Links that the table forbids and that stand nevertheless: (crate, what it links, the last arrow of the way).
/// tonic's feature `router`, which Central's server needs, brings axum into tonic for everybody in the workspace; what
/// `proto` itself uses is the codec and the generated traits.
const EXCEPTIONS: &[(&str, &str, &str)] =
    &[("proto", "axum", "tonic → axum"), ("proto", "axum-core", "axum → axum-core")];

/// What is known of the crates, by package identifier of cargo.
#[derive(Default)]
struct Graph {
    /// Identifier → name.
    names: BTreeMap<String, String>,
    /// Our crates: name → identifier.
    ours: BTreeMap<String, String>,
    /// Our crates: name → the names of all its declared dependencies, of every kind.
    declared: BTreeMap<String, BTreeSet<String>>,
    /// Identifier → identifiers of what is linked into it.
    linked: BTreeMap<String, BTreeSet<String>>,
}

impl Graph {
    /// As cargo resolves the workspace for the platform that the tests run on.
    fn of_workspace() -> Self {
        let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
        let version = Command::new(rustc).arg("-vV").output().expect("rustc runs");
        let version = String::from_utf8(version.stdout).expect("rustc speaks UTF-8");
        let host = version.lines().find_map(|line| line.strip_prefix("host: ")).expect("rustc names its host");
        let metadata = MetadataCommand::new()
            .manifest_path(concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml"))
            .other_options(["--locked".to_owned(), "--filter-platform".to_owned(), host.to_owned()])
            .exec()
            .expect("cargo resolves the workspace");
        let mut graph = Self::default();
        let mut macros = BTreeSet::new();
        for package in &metadata.packages {
            let id = package.id.repr.clone();
            let is_macro = |target: &cargo_metadata::Target| {
                target.kind.contains(&TargetKind::ProcMacro) || target.crate_types.contains(&CrateType::ProcMacro)
            };
            if package.targets.iter().any(is_macro) {
                macros.insert(id.clone());
            }
            if metadata.workspace_members.contains(&package.id) {
                let declared = package.dependencies.iter().map(|dependency| dependency.name.clone()).collect();
                graph.declared.insert(package.name.to_string(), declared);
                graph.ours.insert(package.name.to_string(), id.clone());
            }
            graph.names.insert(id, package.name.to_string());
        }
        for node in metadata.resolve.expect("metadata was asked for with dependencies").nodes {
            let normal = |dependency: &&cargo_metadata::NodeDep| {
                dependency.dep_kinds.iter().any(|kind| kind.kind == DependencyKind::Normal)
                    && !macros.contains(&dependency.pkg.repr)
            };
            let linked = node.deps.iter().filter(normal).map(|dependency| dependency.pkg.repr.clone()).collect();
            graph.linked.insert(node.id.repr, linked);
        }
        graph
    }

    /// Everything that `name` links: name → the shortest way to it, such as `central → proto → tonic`.
    fn reach(&self, name: &str) -> BTreeMap<String, String> {
        let mut ways = BTreeMap::new();
        let mut seen = BTreeSet::new();
        let mut queue: VecDeque<(&String, String)> =
            self.ours.get(name).map(|id| (id, name.to_owned())).into_iter().collect();
        while let Some((id, way)) = queue.pop_front() {
            for next in self.linked.get(id).into_iter().flatten() {
                if seen.insert(next) {
                    let way = format!("{way} → {}", self.names[next]);
                    ways.entry(self.names[next].clone()).or_insert_with(|| way.clone());
                    queue.push_back((next, way));
                }
            }
        }
        ways
    }
}

/// Every way in which the crates break the table, one sentence each.
fn violations(graph: &Graph, table: &[Row]) -> Vec<String> {
    let mut found = Vec::new();
    for (name, declared) in &graph.declared {
        let Some(row) = table.iter().find(|row| row.name == name) else {
            found.push(format!("{name} is in no row of the table"));
            continue;
        };
        for dependency in declared {
            if graph.ours.contains_key(dependency) && !row.may_depend_on.contains(&dependency.as_str()) {
                found.push(format!("{name} may not depend on {dependency}"));
            }
            if name != "proto" && PROTOBUF_COMPILERS.contains(&dependency.as_str()) {
                found.push(format!("{name} may not compile protobuf with {dependency}: only proto does"));
            }
        }
        let reach = graph.reach(name);
        for forbidden in row.must_not_link.iter().copied().flatten() {
            if let Some(way) = reach.get(*forbidden) {
                let excepted =
                    |(of, what, end): &(&str, &str, &str)| of == name && what == forbidden && way.ends_with(end);
                if EXCEPTIONS.iter().any(excepted) {
                    continue;
                }
                found.push(format!("{name} must not link {forbidden}: {way}"));
            }
        }
    }
    for row in table {
        if !graph.ours.contains_key(row.name) {
            found.push(format!("{} is in the table, but not in the workspace", row.name));
        }
    }
    found
}

#[test]
fn every_crate_depends_on_and_links_only_what_the_table_of_arrows_allows() {
    let graph = Graph::of_workspace();
    assert!(graph.reach("central").contains_key("sqlx"), "the graph was read: central links sqlx");
    assert!(graph.reach("gateway").contains_key("envelope"), "the graph was read: gateway links envelope");
    for (name, what, _) in EXCEPTIONS {
        assert!(graph.reach(name).contains_key(*what), "{name} no longer links {what}: take the exception out");
    }
    let found = violations(&graph, TABLE);
    assert!(found.is_empty(), "{} broken arrows:\n{}", found.len(), found.join("\n"));
}

/// `cargo metadata` also has what only other platforms would switch on; `cargo tree` has what is built here.
#[test]
fn nothing_links_a_second_tls_or_crypto_stack() {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let tree = Command::new(cargo)
        .args(["tree", "--locked", "--workspace", "--edges", "normal,build", "--prefix", "none", "--format", "{p}"])
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .output()
        .expect("cargo runs");
    assert!(tree.status.success(), "{}", String::from_utf8_lossy(&tree.stderr));
    let text = String::from_utf8(tree.stdout).expect("cargo speaks UTF-8");
    let built: BTreeSet<&str> = text.lines().filter_map(|line| line.split(' ').next()).collect();
    assert!(built.contains("aws-lc-rs"), "the tree was read: aws-lc-rs is built");
    let found: Vec<_> = BANNED.iter().filter(|name| built.contains(**name)).collect();
    assert!(found.is_empty(), "built, though banned: {found:?}; see `cargo tree -i NAME`");
}

#[test]
fn no_crate_is_a_drawer_for_everything() {
    let graph = Graph::of_workspace();
    for name in ["common", "core", "utils", "types"] {
        assert!(!graph.ours.contains_key(name), "a crate called {name} says nothing about what is in it");
    }
}

/// A graph of our crates `ours` and further packages, with `arrows` (from, to), each both declared and linked.
fn graph(ours: &[&str], arrows: &[(&str, &str)]) -> Graph {
    let mut graph = Graph::default();
    for name in ours {
        graph.ours.insert((*name).to_owned(), (*name).to_owned());
        graph.declared.insert((*name).to_owned(), BTreeSet::new());
    }
    for (from, to) in arrows {
        for name in [from, to] {
            graph.names.insert((*name).to_owned(), (*name).to_owned());
        }
        graph.linked.entry((*from).to_owned()).or_default().insert((*to).to_owned());
        if let Some(declared) = graph.declared.get_mut(*from) {
            declared.insert((*to).to_owned());
        }
    }
    graph
}

const SMALL: &[Row] = &[
    Row { name: "ids", may_depend_on: &[], must_not_link: &[] },
    Row { name: "kms", may_depend_on: &["ids"], must_not_link: &[] },
    Row { name: "central", may_depend_on: &["ids"], must_not_link: &[DECRYPTION, ROUTER] },
];

#[test]
fn a_dependency_on_one_of_ours_outside_the_row_is_found() {
    let graph = graph(&["ids", "kms", "central"], &[("ids", "kms"), ("kms", "ids")]);
    assert_eq!(violations(&graph, SMALL), ["ids may not depend on kms"]);
}

#[test]
fn a_forbidden_link_is_found_through_the_crates_of_others_with_the_way_to_it() {
    let graph = graph(
        &["ids", "kms", "central"],
        &[("central", "layer"), ("layer", "deep"), ("deep", "axum"), ("deep", "layer")],
    );
    assert_eq!(violations(&graph, SMALL), ["central must not link axum: central → layer → deep → axum"]);
}

#[test]
fn a_second_protobuf_compiler_is_found() {
    let graph = graph(&["ids", "kms", "central"], &[("central", "protox")]);
    assert_eq!(violations(&graph, SMALL), ["central may not compile protobuf with protox: only proto does"]);
}

#[test]
fn a_crate_without_a_row_and_a_row_without_a_crate_are_found() {
    let graph = graph(&["ids", "kms", "stray"], &[]);
    assert_eq!(
        violations(&graph, SMALL),
        ["stray is in no row of the table", "central is in the table, but not in the workspace"]
    );
}
