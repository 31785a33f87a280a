//! Tiles of a tree, as C2SP tlog-tiles names and cuts them.
//!
//! A tile of level 0 holds the hashes of up to 256 leaves; one of level n + 1 the roots of up to 256 full tiles of level n. A tile only
//! ever grows at its end, so that a partial tile of an older tree is the beginning of the newer one.

use std::fmt;
use std::iter::successors;

/// The height of a tile: it spans 2^8 hashes.
pub(super) const HEIGHT: u8 = 8;
/// How many hashes a full tile has.
pub const TILE_WIDTH: usize = 1 << HEIGHT;

/// Names a tile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TileId {
    /// 0 holds the hashes of leaves.
    pub level: u8,
    /// The place in the level, from 0 up.
    pub index: u64,
}

/// A tile, or the bundle of the entries below one, as C2SP tlog-tiles asks for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TilePath {
    /// The tile; for entries that of level 0.
    pub id: TileId,
    /// How many hashes or entries, 1 to 256; fewer than 256 are the beginning of a tile.
    pub width: usize,
    /// The entries and not their hashes.
    pub entries: bool,
}

impl TilePath {
    /// Reads what stands after `tile/`: `0/x001/234`, `1/000.p/5`, `entries/000`. Each has one form only. (The library's own reader is of
    /// an older form, and panics on some paths.)
    #[must_use]
    pub fn parse(path: &str) -> Option<Self> {
        let (whole, width) = path.split_once(".p/").map_or((path, None), |(whole, width)| (whole, Some(width)));
        let (level, index) = whole.split_once('/')?;
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let mut number = 0_u64;
        for group in index.split('/').map(|group| group.strip_prefix('x').unwrap_or(group)) {
            let group: u64 = group.parse().ok().filter(|_| digits(group) && group.len() == 3)?;
            number = number.checked_mul(1000)?.checked_add(group)?;
        }
        let entries = level == "entries";
        let parsed = Self {
            id: TileId { level: if entries { 0 } else { level.parse().ok().filter(|level| *level < 64)? }, index: number },
            width: width.map_or(Some(TILE_WIDTH), |width| width.parse().ok().filter(|width| (1..TILE_WIDTH).contains(width)))?,
            entries,
        };
        (parsed.to_string() == path).then_some(parsed)
    }
}

impl fmt::Display for TilePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let TileId { level, index } = self.id;
        match self.entries {
            true => f.write_str("entries")?,
            false => level.fmt(f)?,
        }
        let groups: Vec<u64> = successors(Some(index), |rest| (*rest >= 1000).then_some(rest / 1000)).collect();
        for (place, rest) in groups.into_iter().enumerate().rev() {
            write!(f, "/{}{:03}", if place > 0 { "x" } else { "" }, rest % 1000)?;
        }
        if self.width < TILE_WIDTH { write!(f, ".p/{}", self.width) } else { Ok(()) }
    }
}

/// How many hashes the tile `index` of a level has in a tree of `size` entries; 0 when it is not there.
#[must_use]
pub fn tile_width(size: u64, id: TileId) -> usize {
    let hashes = if id.level < 8 { size >> (HEIGHT * id.level) } else { 0 };
    let first = id.index.saturating_mul(TILE_WIDTH as u64);
    usize::try_from(hashes.saturating_sub(first)).unwrap_or(usize::MAX).min(TILE_WIDTH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tile_has_the_path_that_c2sp_gives_it() {
        let rows = [
            ("0/000", 0, 0, 256, false),
            ("0/x001/x234/067", 0, 1_234_067, 256, false),
            ("1/x001/000.p/5", 1, 1000, 5, false),
            ("entries/002.p/188", 0, 2, 188, true),
            ("entries/999", 0, 999, 256, true),
        ];
        for (path, level, index, width, entries) in rows {
            let parsed = TilePath { id: TileId { level, index }, width, entries };
            assert_eq!(TilePath::parse(path), Some(parsed), "{path}");
            assert_eq!(parsed.to_string(), path);
        }
    }

    #[test]
    fn what_is_no_path_of_a_tile_is_refused() {
        let bad = [
            "",
            "0",
            "0/",
            "0/0",
            "0/00",
            "0/0000",
            "00/000",
            "0/000.p/0",
            "0/000.p/256",
            "0/000.p/01",
            "0/000.p/",
            "0/x000/001",
            "0/001/002",
            "0/x001/2",
            "-1/000",
            "+0/000",
            "entries/",
            "data/000",
            "8/0/000",
            "entries/entries/000",
            "0/000/",
            "/0/000",
            "0/000.p/-1",
            "0/000.p/+1",
            "64/000",
            "255/000",
            "256/000",
            "0/é00",
            "0/x0é/000",
            "0/x18/446/744/073/709/551/616",
            "0/x018/x446/x744/x073/x709/x551/616",
            "0/x999/x999/x999/x999/x999/x999/999",
        ];
        for path in bad {
            assert_eq!(TilePath::parse(path), None, "{path}");
        }
    }

    #[test]
    fn a_tile_is_as_wide_as_the_tree_makes_it() {
        let width = |size, level, index| tile_width(size, TileId { level, index });
        // The example of C2SP tlog-tiles.
        assert_eq!([width(70_000, 0, 272), width(70_000, 0, 273), width(70_000, 0, 274)], [256, 112, 0]);
        assert_eq!([width(70_000, 1, 0), width(70_000, 1, 1), width(70_000, 1, 2)], [256, 17, 0]);
        assert_eq!([width(70_000, 2, 0), width(70_000, 3, 0), width(70_000, 63, 0)], [1, 0, 0]);
        assert_eq!([width(256, 0, 0), width(256, 1, 0), width(0, 0, 0), width(1, 0, u64::MAX)], [256, 1, 0, 0]);
    }
}
