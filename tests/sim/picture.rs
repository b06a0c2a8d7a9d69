//! The picture of random weather: how long handshakes take, by loss and by round trip.

use crate::kinds::Kind;
use crate::weather::Outcome;
use plotters::coord::Shift;
use plotters::prelude::*;

/// What a panel shows along its x axis.
#[derive(Clone, Copy)]
enum Axis {
    Loss,
    RoundTrip,
}

const SIZE: (u32, u32) = (1120, 460);

/// One colour a kind.
const COLOURS: [RGBColor; 4] =
    [RGBColor(27, 94, 168), RGBColor(120, 170, 220), RGBColor(190, 70, 20), RGBColor(235, 160, 110)];

/// An SVG of two panels.
pub(crate) fn draw(outcomes: &[(&'static Kind, Vec<Outcome>)]) -> Result<String, String> {
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        root.fill(&WHITE).map_err(|error| error.to_string())?;
        let (left, right) = root.split_horizontally(SIZE.0 / 2);
        panel(&left, outcomes, Axis::Loss).map_err(|error| error.to_string())?;
        panel(&right, outcomes, Axis::RoundTrip).map_err(|error| error.to_string())?;
        root.present().map_err(|error| error.to_string())?;
    }
    svg.push('\n');
    Ok(svg)
}

/// Medians are drawn thick, the times in which 99 % are complete thin.
fn panel<'a>(
    area: &DrawingArea<SVGBackend<'a>, Shift>,
    outcomes: &[(&'static Kind, Vec<Outcome>)],
    axis: Axis,
) -> Result<(), DrawingAreaErrorKind<<SVGBackend<'a> as DrawingBackend>::ErrorType>> {
    let (caption, label, range) = match axis {
        Axis::Loss => ("by loss, round trip 50 ms", "datagrams lost [%]", 0.0..50.0),
        Axis::RoundTrip => ("by round trip, 5 % lost", "round trip [ms]", 0.0..2000.0),
    };
    let mut chart = ChartBuilder::on(area)
        .caption(caption, ("sans-serif", 18))
        .margin(12)
        .margin_right(30)
        .x_label_area_size(42)
        .y_label_area_size(56)
        .build_cartesian_2d(range, (0.05..1000.0).log_scale())?;
    chart
        .configure_mesh()
        .x_desc(label)
        .y_desc("both ends complete after [s]")
        .light_line_style(RGBColor(235, 235, 235))
        .draw()?;
    for ((kind, outcomes), colour) in outcomes.iter().zip(COLOURS) {
        for (percent, width) in [(50, 3), (99, 1)] {
            let line = LineSeries::new(points(outcomes, axis, percent), colour.stroke_width(width));
            let drawn = chart.draw_series(line)?;
            let name = if percent == 50 { format!("{kind}: median") } else { format!("{kind}: 99 %") };
            drawn.label(name).legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], colour.stroke_width(width)));
        }
    }
    if matches!(axis, Axis::Loss) {
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperLeft)
            .background_style(WHITE.mix(0.8))
            .label_font(("sans-serif", 11))
            .draw()?;
    }
    Ok(())
}

fn points(outcomes: &[Outcome], axis: Axis, percent: usize) -> Vec<(f64, f64)> {
    let mut points: Vec<_> = outcomes
        .iter()
        .filter(|outcome| outcome.path.duplication == 0 && outcome.path.reordering == 0)
        .filter_map(|outcome| {
            let path = outcome.path;
            let x = match axis {
                Axis::Loss if path.round_trip == 50 => f64::from(path.loss),
                Axis::RoundTrip if path.loss == 5 => path.round_trip as f64,
                _ => return None,
            };
            Some((x, outcome.percentile(percent).as_secs_f64()))
        })
        .collect();
    points.sort_by(|a, b| a.0.total_cmp(&b.0));
    points
}
