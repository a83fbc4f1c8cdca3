//! Contours and marks.

use super::*;

/// A bowl around (1, 2) on a grid of 0 to 3 by 0 to 4, and its panel.
fn bowl(levels: &[f64]) -> Panel {
    let grid = |end: f64, count: usize| (0..count).map(|i| end * i as f64 / (count - 1) as f64).collect();
    let square = |x: f64, y: f64| (x - 1.0).powi(2) + (y - 2.0).powi(2);
    Panel { contours: Some(Contours::of(square, grid(3.0, 61), grid(4.0, 51), levels.to_vec())), ..Panel::default() }
}

fn page(panel: Panel) -> Figure {
    Figure { panels: vec![panel], ..Figure::default() }
}

fn polygons(svg: &str) -> Vec<Vec<(i32, i32)>> {
    svg.lines().filter(|line| line.starts_with("<polygon")).map(corners).collect()
}

/// Left, right, top and bottom of what lies around all points.
fn bounds(points: &[(i32, i32)]) -> [i32; 4] {
    let (x, y) = (points.iter().map(|p| p.0), points.iter().map(|p| p.1));
    [x.clone().min().unwrap(), x.max().unwrap(), y.clone().min().unwrap(), y.max().unwrap()]
}

/// The lines of contours, told from others by their width.
fn level_lines(svg: &str) -> Vec<Vec<(i32, i32)>> {
    let thin = svg.split("<polyline").skip(1).filter(|element| element.contains("stroke-width=\"6\""));
    thin.map(corners).collect()
}

#[test]
fn contours_of_a_bowl_are_circles_in_a_square_frame() {
    let text = svg(&page(bowl(&[0.25, 0.81, 9.0])));
    let [left, right, top, bottom] = bounds(&polygons(&text)[0]);
    assert!((right - left).abs_diff(bottom - top) <= 2, "{left} {right} {top} {bottom}");
    let lines = level_lines(&text);
    assert_eq!(lines.len(), 2, "no line where no value is");
    for (line, radius) in lines.iter().zip([0.5, 0.9]) {
        assert!(line.len() > 30 && line.first() == line.last());
        for &(x, y) in line {
            let x = 3.0 * f64::from(x - left) / f64::from(right - left);
            let y = 4.0 * f64::from(bottom - y) / f64::from(bottom - top);
            let distance = (x - 1.0).hypot(y - 2.0);
            assert!((distance - radius).abs() < 0.01, "{distance} {radius}");
        }
    }
}

#[test]
fn contours_out_of_reach_leave_one_shade() {
    for (levels, shade) in [(&[][..], "#FAFBFC"), (&[50.0, 60.0, f64::NAN], "#FAFBFC"), (&[-2.0, -1.0, -1.0], "#C3CFDC")] {
        let text = svg(&page(bowl(levels)));
        assert!(level_lines(&text).is_empty() && !text.contains("no data"), "{levels:?}");
        let last = text.lines().rfind(|line| line.starts_with("<polygon")).unwrap();
        assert!(last.contains(shade), "{levels:?}: {last}");
    }
}

#[test]
fn bands_darken_with_the_value_and_gaps_stay_white() {
    let mut panel = bowl(&[2.0, 0.25, 1.0]);
    let contours = panel.contours.as_mut().unwrap();
    // A gap in the highest band around (2.5, 3.2), and one in the lowest around (1, 2).
    for (column, row) in [(50, 40), (20, 25)] {
        contours.values[row * 61 + column] = f64::NAN;
    }
    let drawn = page(panel);
    let text = svg(&drawn);
    let [left, right, top, bottom] = bounds(&polygons(&text)[0]).map(f64::from);
    let image = pixmap(&drawn);
    let red = |x: f64, y: f64| {
        let (x, y) = (left + x / 3.0 * (right - left), bottom - y / 4.0 * (bottom - top));
        image.pixel((x / 5.0) as u32, (y / 5.0) as u32).unwrap().red()
    };
    let bands = [(1.0, 2.3), (1.0, 2.7), (1.0, 3.2), (1.0, 3.9)].map(|(x, y)| red(x, y));
    assert_eq!(bands, [0xFA, 0xE8, 0xD5, 0xC3]);
    assert_eq!([red(2.5, 3.2), red(1.0, 2.0)], [0xFF; 2]);
    assert_eq!(level_lines(&text).len(), 3);
}

#[test]
fn contours_are_cut_at_a_given_range_and_may_run_backwards() {
    let mut panel = bowl(&[0.25]);
    let contours = panel.contours.as_mut().unwrap();
    contours.x.reverse();
    panel.x.range = Some((1.0, 2.0));
    // Mirrored, the bowl is around (2, 2): of its circle, the frame shows the left half.
    let text = svg(&page(panel));
    let [left, right, ..] = bounds(&polygons(&text)[0]);
    let [line_left, line_right, ..] = bounds(&level_lines(&text).concat());
    assert!(line_left.abs_diff((left + right) / 2) <= 1 && line_right == right, "{line_left} {line_right}");
}

#[test]
fn a_column_without_a_logarithm_is_a_gap() {
    let drawn = |x: &[f64]| {
        let contours = Contours::of(|x, y| x * y, x.to_vec(), vec![0.0, 1.0, 2.0], vec![0.3, 1.0]);
        svg(&page(Panel { x: Axis::log("x"), contours: Some(contours), ..Panel::default() }))
    };
    assert_eq!(drawn(&[-1.0, 0.0, 0.1, 1.0, 9.0]), drawn(&[0.1, 1.0, 9.0]));
}

fn mark(label: &str, symbol: Symbol, at: (f64, f64)) -> Curve {
    Curve { label: label.into(), style: Style::Mark(symbol), points: vec![at], ..Curve::default() }
}

#[test]
fn a_mark_is_labelled_beside_it_and_not_in_the_legend() {
    let marks = vec![
        mark("start", Symbol::Disc, (0.1, 2.0)),
        mark("end", Symbol::Star, (2.95, 3.9)),
        mark("away", Symbol::Disc, (9.0, 9.0)),
    ];
    let path = Curve { label: "path".into(), colour: 1, points: vec![(0.1, 2.0), (2.0, 2.0)], ..Curve::default() };
    let drawn = page(Panel { curves: [vec![path], marks].concat(), legend: true, ..bowl(&[1.0]) });
    let text = svg(&drawn);
    for (label, count) in [("start", 1), ("end", 1), ("path", 1), ("away", 0)] {
        assert_eq!(text.matches(&format!(">\n{label}\n<")).count(), count, "{label}");
    }
    let [left, right, top, bottom] = bounds(&polygons(&text)[0]);
    let boxes: Vec<[i32; 4]> = text
        .lines()
        .filter(|line| line.starts_with("<rect") && line.contains("opacity=\"0.75\""))
        .map(|line| {
            ["x", "width", "y", "height"]
                .map(|name| line.split(&format!(" {name}=\"")).nth(1).unwrap().split('"').next().unwrap().parse().unwrap())
        })
        .collect();
    assert_eq!(boxes.len(), 2);
    for [x, width, y, height] in &boxes {
        assert!(left <= *x && x + width <= right && top <= *y && y + height <= bottom, "{boxes:?}");
    }
    // The path leaves the start to the right, where its label would stand otherwise.
    let line = lines(&text, "#D55E00").concat();
    let [.., y, height] = boxes[0];
    assert!(line[0].1 < y || line[0].1 > y + height, "{line:?} {boxes:?}");
}

#[test]
fn contours_and_marks_give_the_same_bytes() {
    let curves = vec![mark("w*", Symbol::Diamond, (1.0, 2.0)), mark("", Symbol::Square, (2.0, 2.0))];
    let drawn = page(Panel { curves, ..bowl(&[0.1, 1.0, 2.0]) });
    assert_eq!(drawn.svg().unwrap(), drawn.svg().unwrap());
    assert_eq!(drawn.png().unwrap(), drawn.png().unwrap());
}

#[test]
fn odd_contours_are_drawn_without_panic() {
    let odd: [&[f64]; 8] = [
        &[],
        &[1.0],
        &[1.0, 1.0],
        &[f64::NAN, 1.0, 2.0],
        &[0.0, -1.0, 5.0],
        &[1e-300, 1e300],
        &[f64::MIN, f64::MAX],
        &[f64::INFINITY; 3],
    ];
    for log in [false, true] {
        let axis = Axis { log, ..Axis::default() };
        let panel = |(x, y): (&[f64], &[f64])| {
            let contours = Contours::of(|x, y| x * y, x.to_vec(), y.to_vec(), [x, y, &[0.5]].concat());
            let short = Contours { values: contours.values.iter().copied().skip(1).collect(), ..contours.clone() };
            [contours, short].map(|contours| Panel {
                x: axis.clone(),
                y: axis.clone(),
                contours: Some(contours),
                ..Panel::default()
            })
        };
        // Each with each of three others, as the product of all takes long to draw.
        let pairs = (0..odd.len()).flat_map(|i| [0, 1, 3].map(|k| (odd[i], odd[(i + k) % odd.len()])));
        let panels = pairs.flat_map(panel).collect();
        let drawn = Figure { columns: 8, panels, ..Figure::default() };
        assert!(svg(&drawn).ends_with("</svg>\n") && drawn.png().is_ok());
    }
    assert!(svg(&page(Panel { contours: Some(Contours::default()), ..Panel::default() })).contains(">\nno data\n<"));
}
