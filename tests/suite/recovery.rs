//! The stored file and the RSA key are enough, when nothing else is left.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context, Result, ensure};
use tests::{Dev, program, python};

/// `sealgate object decrypt`, and the reader that was written from the format's text alone. Each writes to a file of its
/// own beside `out`.
fn readers(stored: &Path, out: &Path, key: &Path) -> Result<[(&'static str, Output); 2]> {
    let reader = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/reader/read_object.py");
    let ours = Command::new(program("sealgate")?)
        .args(["object", "decrypt"])
        .arg(stored)
        .arg("-o")
        .arg(out.with_extension("ours"))
        .arg("--rsa-key")
        .arg(key)
        .output()?;
    let independent = Command::new(python()?)
        .arg(reader)
        .arg(stored)
        .arg("-o")
        .arg(out.with_extension("independent"))
        .arg("--rsa-key")
        .arg(key)
        .output()?;
    Ok([("ours", ours), ("independent", independent)])
}

#[test]
fn the_stored_file_and_the_rsa_key_give_the_plaintext_when_all_else_is_gone() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (data, kept) = (folder.path().join("data"), folder.path().join("kept"));
    std::fs::create_dir(&kept)?;
    let dev = Dev::start(&data, &[])?;
    dev.story("recovery", &[kept.to_str().context("a path of UTF-8")?])?;
    let key = folder.path().join("key.pem");
    std::fs::copy(dev.ready["rsa_key_file"].as_str().context("the RSA key")?, &key)?;
    dev.stop()?;
    std::fs::remove_dir_all(&data)?;

    let other = folder.path().join("other.pem");
    let made = Command::new("openssl").args(["genrsa", "-out"]).arg(&other).arg("2048").output()?;
    ensure!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));

    // Neither reader writes over a file that is there.
    let (good, none) = (folder.path().join("good"), folder.path().join("none"));
    for made in [&good, &none] {
        std::fs::create_dir(made)?;
    }
    let mut names: Vec<PathBuf> = Vec::new();
    for entry in std::fs::read_dir(&kept)? {
        names.push(entry?.path());
    }
    names.retain(|path| path.extension().is_some_and(|end| end == "stored"));
    ensure!(names.len() == 11, "{names:?}");
    for stored in names {
        let plain = std::fs::read(stored.with_extension("plain"))?;
        let name = stored.file_stem().context("a name")?;
        let out = good.join(name);
        for (reader, output) in readers(&stored, &out, &key)? {
            ensure!(output.status.success(), "{}, {reader}: {output:?}", stored.display());
            // Not shown: they are long.
            ensure!(std::fs::read(out.with_extension(reader))? == plain, "{}, {reader}: other bytes", stored.display());
        }
        // Whatever the object, the first look at its key record decides.
        if name != "parts" && name != "full" {
            continue;
        }
        let out = none.join(name);
        for (reader, output) in readers(&stored, &out, &other)? {
            ensure!(output.status.code() == Some(1), "{}, {reader}: {output:?}", stored.display());
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            ensure!(said.contains("sha256:"), "the key that is needed is not named: {said}");
            ensure!(!out.with_extension(reader).exists(), "{reader} left something behind");
        }
    }
    Ok(())
}
