//! Matrices.

use super::*;

const UNKNOWN: &str = "#EEEEEE";

/// A matrix of one row.
fn row(values: &[f64], colours: Colours, range: Option<(f64, f64)>) -> Cells {
    Cells { rows: 1, columns: values.len(), values: values.to_vec(), range, colours, mark_column: None }
}

fn panel(cells: Cells) -> Panel {
    Panel { cells: Some(cells), ..Panel::default() }
}

fn page(cells: Cells) -> Figure {
    Figure { panels: vec![panel(cells)], ..Figure::default() }
}

fn attribute<'a>(element: &'a str, name: &str) -> &'a str {
    element.split(&format!(" {name}=\"")).nth(1).unwrap().split('"').next().unwrap()
}

/// Left, top, width, height and fill of every cell, in drawing order; the page itself comes before.
fn cells(svg: &str) -> Vec<([i32; 4], String)> {
    let rectangles = svg.lines().filter(|line| line.starts_with("<rect")).skip(1);
    let sides = |line: &str| ["x", "y", "width", "height"].map(|name| attribute(line, name).parse().unwrap());
    rectangles.map(|line| (sides(line), attribute(line, "fill").to_owned())).collect()
}

fn fills(drawn: Cells) -> Vec<String> {
    cells(&svg(&page(drawn))).into_iter().map(|(_, fill)| fill).collect()
}

fn red_green_blue(fill: &str) -> [i32; 3] {
    [1, 3, 5].map(|i| i32::from_str_radix(&fill[i..i + 2], 16).unwrap())
}

/// Left, right, top and bottom of the frame of every matrix.
fn frames(svg: &str) -> Vec<[i32; 4]> {
    lines(svg, "#808080").iter().map(|line| [line[0].0, line[2].0, line[0].1, line[2].1]).collect()
}

#[test]
fn cells_are_equal_squares_from_the_top_row_down() {
    let values: Vec<f64> = (0..15 * 7).map(f64::from).collect();
    let matrix = Cells { rows: 15, columns: 7, values, mark_column: Some(5), ..Cells::default() };
    let text = svg(&Figure { panels: vec![Panel { title: "W".into(), ..panel(matrix) }], ..Figure::default() });
    let cells = cells(&text);
    assert_eq!(cells.len(), 15 * 7);
    let frames = frames(&text);
    assert_eq!(frames.len(), 1);
    let [left, right, top, bottom] = frames[0].map(f64::from);
    let side = (bottom - top) / 15.0;
    assert!(side > 100.0 && ((right - left) / 7.0 - side).abs() <= 0.5, "{left} {right} {top} {bottom}");
    for (i, ([x, y, width, height], _)) in cells.iter().enumerate() {
        let (column, row) = ((i % 7) as f64, (i / 7) as f64);
        let off = [f64::from(*x) - left - column * side, f64::from(*y) - top - row * side];
        assert!(off.iter().all(|off| off.abs() <= 1.0), "cell {i}: {off:?}");
        // Each reaches below its neighbours, which are drawn later, but not out of the frame.
        assert!(f64::from(*width) >= side - 1.0 && f64::from(x + width) <= right, "cell {i}");
        assert!(f64::from(*height) >= side - 1.0 && f64::from(y + height) <= bottom, "cell {i}");
    }
    let [(x, above), (end, below)] = lines(&text, "#262626").concat()[..] else { panic!("one line") };
    assert!(x == end && (f64::from(x) - left - 5.0 * side).abs() <= 1.0, "the line is before column 5: {x}");
    assert!(f64::from(above) < top && f64::from(below) > bottom, "the line shows beyond dark cells");
}

#[test]
fn magnitudes_darken_from_end_to_end() {
    let rising: Vec<f64> = (0..40).map(|i| 3.0 + f64::from(i)).collect();
    let drawn = fills(row(&rising, Colours::Sequential, None));
    assert_eq!((drawn[0].as_str(), drawn[39].as_str()), ("#F4F7FA", "#2B4059"));
    for pair in drawn.windows(2) {
        let [light, dark] = [&pair[0], &pair[1]].map(|fill| red_green_blue(fill));
        assert!((0..3).all(|i| light[i] > dark[i]), "{pair:?}");
    }
    // Beyond a given range, the colours of its ends; a range that cannot be drawn is as none.
    let given = fills(row(&[-9.0, 0.0, 1.0, 2.0, 9.0], Colours::Sequential, Some((0.0, 2.0))));
    assert_eq!([&given[0], &given[4]], [&given[1], &given[3]]);
    assert_eq!(given[1..4], fills(row(&[4.0, 5.0, 6.0], Colours::Sequential, None)));
    for unusable in [(1.0, 1.0), (2.0, 0.0), (f64::NAN, 1.0), (0.0, f64::INFINITY)] {
        assert_eq!(fills(row(&rising, Colours::Sequential, Some(unusable))), drawn, "{unusable:?}");
    }
}

#[test]
fn signs_are_blue_and_orange_around_white() {
    let drawn = fills(row(&[-4.0, -2.0, 0.0, 2.0, 4.0], Colours::Diverging, None));
    assert_eq!([&drawn[0], &drawn[2], &drawn[4]], ["#0072B2", "#FFFFFF", "#D55E00"]);
    let [blue, orange] = [&drawn[1], &drawn[3]].map(|fill| red_green_blue(fill));
    assert!(0x00 < blue[0] && blue[0] < 0xFF && blue[2] > blue[0], "{blue:?}");
    assert!(0x00 < orange[2] && orange[2] < 0xFF && orange[0] > orange[2], "{orange:?}");
    // Without a range, the larger side sets both ends; with one, equal distances from 0 are equally strong.
    assert_eq!(fills(row(&[-4.0, -2.0, 0.0, 2.0], Colours::Diverging, None)), drawn[..4]);
    for (range, same) in [((-2.0, 4.0), [1, 3, 4]), ((-4.0, 2.0), [0, 3, 3])] {
        let given = fills(row(&[-9.0, 2.0, 9.0], Colours::Diverging, Some(range)));
        assert_eq!(given, same.map(|i| drawn[i].clone()), "{range:?}");
    }
}

#[test]
fn the_range_of_the_colours_stands_below() {
    for (colours, range, text) in [
        (Colours::Sequential, None, "−0.5 .. 1.0"),
        (Colours::Diverging, None, "−1 .. 1"),
        (Colours::Diverging, Some((-0.25, 0.25)), "−0.25 .. 0.25"),
    ] {
        let drawn = svg(&page(row(&[-0.5, f64::NAN, 1.0, f64::NEG_INFINITY], colours, range)));
        assert_eq!(drawn.matches(&format!(">\n{text}\n<")).count(), 1, "{text}");
        let [(_, x, y, _)] = texts(&drawn, "110")[..] else { panic!("one small text") };
        let [left, right, _, bottom] = frames(&drawn)[0];
        assert!(x.abs_diff((left + right) / 2) <= 1 && bottom < y && y < bottom + 100, "{x} {y}");
    }
}

#[test]
fn what_is_not_finite_is_hatched() {
    // The last value is missing.
    let values = vec![f64::NAN, 1.0, f64::INFINITY, 2.0, f64::NEG_INFINITY];
    let text = svg(&page(Cells { rows: 2, columns: 3, values, ..Cells::default() }));
    let cells = cells(&text);
    let unknown: Vec<usize> = (0..6).filter(|&i| cells[i].1 == UNKNOWN).collect();
    assert_eq!(unknown, [0, 2, 4, 5]);
    let hatching = lines(&text, "#AAAAAA");
    assert_eq!(hatching.len(), 4);
    for (line, i) in hatching.iter().zip(unknown) {
        let [x, y, ..] = cells[i].0;
        assert!(line[0].0 == x && line[1].1 == y && line[1].0 > x && line[0].1 > y, "{line:?} in cell {i}");
    }
}

#[test]
fn no_seams_show_between_cells() {
    let drawn =
        page(Cells { rows: 37, columns: 37, values: vec![-3.0; 37 * 37], colours: Colours::Diverging, ..Cells::default() });
    let [left, right, top, bottom] = frames(&svg(&drawn))[0].map(|at| at as u32 / 5);
    let image = pixmap(&drawn);
    for (x, y) in (left + 2..right - 1).map(|x| (x, top + 40)).chain((top + 2..bottom - 1).map(|y| (left + 40, y))) {
        let pixel = image.pixel(x, y).unwrap();
        assert_eq!((pixel.red(), pixel.green(), pixel.blue()), (0x00, 0x72, 0xB2), "at {x}, {y}");
    }
}

#[test]
fn many_matrices_are_aligned() {
    let labelled = |i: usize| Panel {
        title: if i < 6 { format!("SGD, batch {}", 1 << i) } else { String::new() },
        x: Axis::linear(if i > 5 { "input" } else { "" }),
        y: Axis::linear(if i.is_multiple_of(6) { "hidden unit" } else { "" }),
        ..panel(Cells { rows: 15, columns: 15, values: vec![1.0; 225], ..Cells::default() })
    };
    let drawn = Figure { columns: 6, panels: (0..12).map(labelled).collect(), ..Figure::default() };
    let text = svg(&drawn);
    assert!(text.starts_with("<svg width=\"1200\""), "a page of matrices is narrow");
    let frames = frames(&text);
    assert_eq!(frames.len(), 12);
    for (i, [left, right, top, bottom]) in frames.iter().enumerate() {
        assert_eq!((right - left, bottom - top), (frames[0][1] - frames[0][0], frames[0][1] - frames[0][0]));
        assert_eq!((*left, *top), (frames[i % 6][0], frames[i - i % 6][2]));
        // The distance of columns, and the room beside axes without labels.
        assert!(i.is_multiple_of(6) || *left >= frames[i - 1][1] + 120 + 110 + 150, "{frames:?}");
    }
    // A heading stands above the middle of its matrix, small print and the label between the rows.
    for (heading, frame) in texts(&text, "130").iter().zip(&frames) {
        assert!(heading.1.abs_diff((frame[0] + frame[1]) / 2) <= 1 && heading.2 < frame[2], "{heading:?}");
    }
    let upper: Vec<_> = texts(&text, "110").into_iter().take(6).collect();
    assert!(upper.iter().all(|below| below.2 > frames[0][3] && below.2 + 110 < frames[6][2]), "{upper:?}");
    assert_eq!((text.matches(">\ninput\n<").count(), text.matches(">\nhidden unit\n<").count()), (6, 2));
    // Labels have room within the margins and between the rows.
    let labels = texts(&text, "122");
    assert!(labels.len() == 8 && labels.iter().all(|label| label.1 >= 140 + 122), "{labels:?}");
    let height = |panels| pixmap(&Figure { columns: 2, panels, ..Figure::default() }).height();
    let unlabelled = Panel { x: Axis::default(), ..labelled(6) };
    assert!(height(vec![labelled(6)]) > height(vec![unlabelled]) + 122 / 5);
    // Beside axes, a matrix has their room, and a flat one does not press them.
    let flat = panel(row(&[1.0; 30], Colours::Sequential, None));
    let axes = figure(vec![curve(&[(0.0, 1.0), (1.0, 2.0)])], Axis::linear("y")).panels[0].clone();
    assert_eq!(height(vec![flat.clone(), axes.clone()]), height(vec![Panel { cells: None, ..flat }, axes]));
}

#[test]
fn odd_matrices_are_drawn_without_panic() {
    for (rows, columns) in [(0, 0), (0, 3), (3, 0)] {
        let text = svg(&page(Cells { rows, columns, values: vec![1.0; 3], mark_column: Some(0), ..Cells::default() }));
        assert!(cells(&text).is_empty() && !text.contains("<polyline") && !text.contains(".."), "{text}");
        assert!(text.contains(">\nno data\n<"));
    }
    let odd: [&[f64]; 8] = [
        &[],
        &[0.0],
        &[7.0; 6],
        &[-0.0, 0.0],
        &[f64::NAN; 6],
        &[f64::MIN, 1e300, -1e300, f64::MAX],
        &[5e-324, 1e-323],
        &[1.0; 99],
    ];
    for colours in [Colours::Sequential, Colours::Diverging] {
        for range in [None, Some((f64::MIN, f64::MAX)), Some((0.0, 5e-324)), Some((3.0, 4.0))] {
            for (rows, columns, mark) in [(1, 1, 0), (2, 3, 3), (3, 2, usize::MAX), (60, 1, 1), (1, 400, 7)] {
                let cells =
                    |values: &[f64]| Cells { rows, columns, values: values.to_vec(), range, colours, mark_column: Some(mark) };
                let drawn = Figure { columns: 8, panels: odd.map(|values| panel(cells(values))).to_vec(), ..Figure::default() };
                assert_eq!(self::cells(&svg(&drawn)).len(), 8 * rows * columns);
            }
        }
    }
    let constant = |colours| fills(row(&[7.0; 3], colours, None));
    assert_eq!(constant(Colours::Diverging), ["#D55E00"; 3]);
    assert!(constant(Colours::Sequential).iter().all(|fill| !["#F4F7FA", UNKNOWN].contains(&fill.as_str())));
    assert_eq!(fills(row(&[0.0], Colours::Diverging, None)), ["#FFFFFF"]);
}
