//! Where results go: files below `target/bench/`, and the document with its plot.

use std::fs;
use std::path::Path;

use anyhow::Context;

const BEGIN: &str = "<!-- results of cargo bench -->\n";
const END: &str = "<!-- end of results -->";
const DOCUMENT: &str = "docs/PERFORMANCE.md";
const PLOT: &str = "docs/performance.svg";

/// Puts the tables between the marks of the document, with the plot before them.
pub fn write(root: &Path, tables: &str, plot: &str) -> anyhow::Result<()> {
    let path = root.join(DOCUMENT);
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let missing = || format!("{DOCUMENT} lacks the marks of the results");
    let (before, rest) = text.split_once(BEGIN).with_context(missing)?;
    let (_, after) = rest.split_once(END).with_context(missing)?;
    let text = format!("{before}{BEGIN}\n![The ratios of the tables below, as bars](performance.svg)\n\n{tables}\n{END}{after}");
    fs::write(&path, text)?;
    fs::write(root.join(PLOT), plot)?;
    eprintln!("written: {DOCUMENT} and {PLOT}");
    Ok(())
}
