//! Lists of a gateway that lost what it knew.

use anyhow::{Result, ensure};
use tests::{Dev, Target};

/// Every other object is encrypted; sizes differ.
const STORE: &str = r"
from concurrent.futures import ThreadPoolExecutor
s3.create_bucket(Bucket='mixed')
s3.create_bucket(Bucket='plain')
def size(n):
    return 700 + n % 97
def put(n):
    more = {'ServerSideEncryption': 'aws:kms'} if n % 2 else {}
    s3.put_object(Bucket='mixed', Key=f'{n:05}', Body=b'x' * size(n), **more)
    if n < 50:
        s3.put_object(Bucket='plain', Key=f'{n:05}', Body=b'x' * size(n))
with ThreadPoolExecutor(8) as pool:
    list(pool.map(put, range(3000)))
";

/// Every way to list; `ETags` as HEAD says them.
const LIST: &str = r"
expected = [(f'{n:05}', 700 + n % 97) for n in range(3000)]
for name, field in [('list_objects', 'Contents'), ('list_objects_v2', 'Contents'), ('list_object_versions', 'Versions')]:
    pages = s3.get_paginator(name).paginate(Bucket='mixed')
    found = [entry for page in pages for entry in page[field]]
    assert [(entry['Key'], entry['Size']) for entry in found] == expected, name
    for entry in found[::500] + found[1::500]:
        head = s3.head_object(Bucket='mixed', Key=entry['Key'])
        assert (head['ETag'], head['ContentLength']) == (entry['ETag'], entry['Size']), (name, entry, head)
s3.list_objects_v2(Bucket='plain')
";

#[test]
fn sizes_are_right_after_the_ledger_was_removed_and_the_gateway_killed() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let dev = Dev::start(&folder.path().join("data"), &[])?;
    dev.python(0, STORE)?;
    dev.python(0, LIST)?;
    std::fs::remove_file(dev.data().join("gateway-1").join("ledger.redb"))?;
    dev.python(0, LIST)?;
    dev.kill(Target::Gateway(0))?;
    let asked = || -> Result<f64> { Ok(dev.scrape(Target::Gateway(0))?.sum("sealgate_upstream_requests_total", &[])) };
    let before = asked()?;
    dev.python(0, LIST)?;
    let cold = asked()? - before;
    // A HEAD of each object, three lists of three pages, and few others; the gateway's own look through the bucket may come
    // at the same time, and looks at what is not known yet.
    ensure!(cold > 3000.0 && cold < 6100.0, "{cold} requests, when nothing was known");
    let before = asked()?;
    dev.python(0, LIST)?;
    let warm = asked()? - before;
    ensure!(warm < 100.0, "{warm} requests, when everything was known");
    dev.stop()
}
