//! The plot: a bar for each ratio, and a mark where it should reach.

use anyhow::anyhow;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::results::{Bound, Verdict};

const WIDTH: u32 = 900;
const ROW: i32 = 26;
const TOP: i32 = 44;
/// Where the bars begin, and how long one of ratio 1 is.
const LEFT: i32 = 420;
const UNIT: f64 = 120.0;
/// Bars beyond this are cut; their number stands beside them.
const LONGEST: f64 = 3.2;
const MET: RGBColor = RGBColor(46, 125, 50);
const MISSED: RGBColor = RGBColor(198, 40, 40);
const FREE: RGBColor = RGBColor(110, 120, 135);

/// Draws the ratios as SVG.
pub fn render(verdicts: &[Verdict]) -> anyhow::Result<String> {
    let mut svg = String::new();
    let height = u32::try_from(TOP)? + u32::try_from(ROW)? * u32::try_from(verdicts.len())? + 16;
    draw(&mut svg, height, verdicts).map_err(|error| anyhow!("cannot draw the plot: {error}"))?;
    Ok(svg)
}

fn draw(svg: &mut String, height: u32, verdicts: &[Verdict]) -> Result<(), Box<dyn std::error::Error>> {
    let area = SVGBackend::with_string(svg, (WIDTH, height)).into_drawing_area();
    area.fill(&WHITE)?;
    let text = |size: i32| ("sans-serif", size).into_font().color(&BLACK);
    let right = text(13).pos(Pos::new(HPos::Right, VPos::Center));
    let left = text(13).pos(Pos::new(HPos::Left, VPos::Center));
    area.draw_text(
        "Ratios of throughput; of latency and CPU where the row says so. A line marks the target.",
        &text(15),
        (12, 12),
    )?;
    for (verdict, row) in verdicts.iter().zip(0..) {
        let middle = TOP + ROW * row + ROW / 2;
        let label = format!("{} / {}", verdict.title, verdict.against);
        area.draw_text(&label, &right, (LEFT - 8, middle))?;
        let colour = match verdict.met {
            Some(true) => MET,
            Some(false) => MISSED,
            None => FREE,
        };
        let end = at(verdict.ratio);
        area.draw(&Rectangle::new([(LEFT, middle - 8), (end, middle + 8)], colour.filled()))?;
        if let Some(target) = verdict.target.map(Bound::value) {
            let x = at(target);
            area.draw(&PathElement::new([(x, middle - 11), (x, middle + 11)], BLACK.stroke_width(2)))?;
        }
        let beside = end.max(verdict.target.map_or(LEFT, |target| at(target.value()))) + 6;
        area.draw_text(&format!("{:.2}", verdict.ratio), &left, (beside, middle))?;
    }
    area.present()?;
    Ok(())
}

/// Where a ratio ends, in pixels.
#[expect(clippy::cast_possible_truncation, reason = "cut to a few hundred")]
fn at(ratio: f64) -> i32 {
    LEFT + (ratio.clamp(0.0, LONGEST) * UNIT).round() as i32
}
