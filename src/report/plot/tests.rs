mod cells;
mod contours;
mod tiles;

use super::*;

fn svg(figure: &Figure) -> String {
    String::from_utf8(figure.svg().unwrap()).unwrap()
}

fn pixmap(figure: &Figure) -> Pixmap {
    Pixmap::decode_png(&figure.png().unwrap()).unwrap()
}

fn curve(points: &[(f64, f64)]) -> Curve {
    Curve { label: "η = 0.25".into(), points: points.to_vec(), ..Curve::default() }
}

fn figure(curves: Vec<Curve>, y: Axis) -> Figure {
    let panel = Panel { title: "Train loss".into(), x: Axis::linear("iteration"), y, curves, legend: true, ..Panel::default() };
    Figure { title: "Figure 1".into(), columns: 1, panels: vec![panel], footnote: Some("20 seeds".into()) }
}

/// The points of every polyline of the given stroke colour.
fn lines(svg: &str, colour: &str) -> Vec<Vec<(i32, i32)>> {
    let stroke = format!("stroke=\"{colour}\"");
    let elements = svg.lines().filter(|line| line.starts_with("<polyline") && line.contains(&stroke));
    elements.map(corners).collect()
}

fn corners(element: &str) -> Vec<(i32, i32)> {
    let points = element.split("points=\"").nth(1).unwrap().split('"').next().unwrap();
    let numbers = points.split_whitespace().map(|point| point.split_once(',').unwrap());
    numbers.map(|(x, y)| (x.parse().unwrap(), y.parse().unwrap())).collect()
}

/// Every text of the given size: its anchor, position and width.
fn texts(svg: &str, size: &str) -> Vec<(String, i32, i32, f64)> {
    let font = Font::embedded().unwrap();
    let value =
        |element: &str, name: &str| element.split(&format!(" {name}=\"")).nth(1).unwrap().split('"').next().unwrap().to_owned();
    let elements = svg.split("<text").skip(1).filter(|element| element.contains(&format!("font-size=\"{size}\"")));
    elements
        .map(|element| {
            let text = element.lines().nth(1).unwrap();
            let place = |name| value(element, name).parse::<i32>().unwrap();
            (value(element, "text-anchor"), place("x"), place("y"), font.width(text, size.parse().unwrap()))
        })
        .collect()
}

const BLUE: &str = "#0072B2";

#[test]
fn text_stays_text_and_is_complete() {
    let band = Some(vec![(0.0, 0.001, 2.0), (1e5, 0.0001, 0.1)]);
    let text = svg(&figure(vec![Curve { band, ..curve(&[(0.0, 1.0), (1e5, 0.001)]) }], Axis::log("mean < squared error")));
    for label in ["Figure 1", "Train loss", "iteration", "mean &lt; squared error", "η = 0.25", "20 seeds", "20k", "10⁻³"] {
        assert_eq!(text.matches(&format!(">\n{label}\n<")).count(), 1, "{label}");
    }
}

#[test]
fn the_same_figure_gives_the_same_bytes() {
    let drawn = figure(vec![curve(&[(0.0, 1.0), (1.0, 0.3), (2.0, 0.5)])], Axis::log("loss"));
    assert_eq!(drawn.svg().unwrap(), drawn.svg().unwrap());
    assert_eq!(drawn.png().unwrap(), drawn.png().unwrap());
}

#[test]
fn both_formats_share_size_and_content() {
    let drawn = figure(vec![curve(&[(0.0, 0.0), (1.0, 1.0), (2.0, 0.0)])], Axis::linear("loss"));
    let (image, text) = (pixmap(&drawn), svg(&drawn));
    let opening = format!("<svg width=\"{}\" height=\"{}\" ", image.width() / 2, image.height() / 2);
    assert!(text.starts_with(&opening), "{opening} / {}", text.lines().next().unwrap());
    // The middle of every stroke in the SVG, ten units to the pixel, is blue in the PNG, two device pixels to the pixel.
    let line = lines(&text, BLUE).into_iter().find(|line| line.len() == 3).unwrap();
    for pair in line.windows(2) {
        let (x, y) = ((pair[0].0 + pair[1].0) / 2, (pair[0].1 + pair[1].1) / 2);
        let pixel = image.pixel(x as u32 / 5, y as u32 / 5).unwrap();
        assert_eq!((pixel.red(), pixel.green(), pixel.blue()), (0x00, 0x72, 0xB2), "at {x}, {y}");
    }
    let corner = image.pixel(0, 0).unwrap();
    assert_eq!((corner.red(), corner.green(), corner.blue(), corner.alpha()), (255, 255, 255, 255));
    // The title is inked in the PNG, centred as in the SVG.
    let dark = |x: u32| (0..80).any(|y| image.pixel(x, y).unwrap().red() < 100);
    let inked: Vec<u32> = (0..image.width()).filter(|&x| dark(x)).collect();
    let (first, last) = (inked[0], inked[inked.len() - 1]);
    assert!((first + last).abs_diff(image.width()) < 8 && last - first > 80, "{first} {last}");
}

#[test]
fn a_line_breaks_where_it_cannot_be_shown() {
    let gap = |value| curve(&[(0.0, 1.0), (1.0, 0.5), (2.0, value), (3.0, 0.5), (4.0, 1.0)]);
    for (value, axis, pieces) in [
        (0.7, Axis::linear("y"), 1),
        (f64::NAN, Axis::linear("y"), 2),
        (f64::INFINITY, Axis::log("y"), 2),
        (0.0, Axis::log("y"), 2),
        (-1.0, Axis::log("y"), 2),
        (-1.0, Axis::linear("y"), 1),
    ] {
        let mut drawn = figure(vec![gap(value)], axis);
        drawn.panels[0].legend = false;
        let lines = lines(&svg(&drawn), BLUE);
        assert_eq!(lines.len(), pieces, "{value}");
        // A broken line ends at the points beside the gap.
        assert_eq!(lines.concat().len(), if pieces == 1 { 5 } else { 4 }, "{value}");
    }
}

#[test]
fn what_lies_outside_a_given_range_is_cut_off() {
    let axis = Axis { range: Some((0.0, 1.0)), ..Axis::linear("y") };
    let wild = [(0.0, 0.5), (1.0, 1e308), (2.0, 0.5), (3.0, -40.0), (4.0, 0.5)];
    let band = Some(wild.map(|(x, y)| (x, y - 0.1, if x == 2.0 { f64::INFINITY } else { y + 0.1 })).to_vec());
    let text = svg(&figure(vec![Curve { band, ..curve(&wild) }], axis));
    let line: Vec<(i32, i32)> = lines(&text, BLUE).concat();
    let polygon = text.lines().find(|line| line.starts_with("<polygon")).map(corners).unwrap();
    let (low, high) = (polygon.iter().map(|p| p.1).max().unwrap(), polygon.iter().map(|p| p.1).min().unwrap());
    assert_eq!(low - high, 2100 - 1, "the band fills the frame");
    assert!(line.iter().filter(|p| p.1 < low + 200).all(|p| (high..=low).contains(&p.1)), "{line:?}");
}

#[test]
fn a_lone_point_and_the_end_of_a_run_are_marked() {
    let lone = svg(&figure(vec![curve(&[(0.0, 1.0), (1.0, f64::NAN)])], Axis::linear("y")));
    assert_eq!(lone.matches("<circle").count(), 1);
    let run = Curve { end_cross: true, ..curve(&[(0.0, 1.0), (1.0, 9.0), (2.0, f64::NAN)]) };
    let crossed = svg(&figure(vec![run.clone()], Axis::linear("y")));
    let plain = svg(&figure(vec![Curve { end_cross: false, ..run }], Axis::linear("y")));
    assert_eq!(crossed.matches(BLUE).count(), plain.matches(BLUE).count() + 2);
}

#[test]
fn the_legend_names_each_kind_of_curve_once() {
    let dashed = |colour| Curve { style: Style::Dashed, label: "one seed".into(), colour, ..curve(&[(0.0, 1.0)]) };
    let unnamed = Curve { label: String::new(), colour: 3, ..curve(&[(0.0, 1.0)]) };
    let mut drawn = figure(vec![dashed(0), curve(&[(0.0, 1.0)]), dashed(1), unnamed], Axis::linear("y"));
    drawn.panels.push(Panel { curves: vec![Curve { label: "hidden".into(), ..Curve::default() }], ..Panel::default() });
    let text = svg(&drawn);
    assert_eq!(text.matches(">\none seed\n<").count(), 1);
    assert_eq!(text.matches(">\nη = 0.25\n<").count(), 1);
    assert!(!text.contains("hidden"));
    assert!(!lines(&text, "#777777").is_empty(), "dashes of two colours share a grey sample");
}

#[test]
fn tick_labels_do_not_overlap() {
    for (high, log) in [(1e5, false), (1.0, false), (-9e-5, false), (1.23e10, false), (1e9, true), (2.0, true)] {
        let axis = Axis { log, ..Axis::default() };
        let points = [(1.0, 1.0), (high, high)];
        let panel = Panel { x: axis.clone(), y: axis, curves: vec![curve(&points)], ..Panel::default() };
        let labels = texts(&svg(&Figure { columns: 4, panels: vec![panel; 4], ..Figure::default() }), "110");
        let (beside, below): (Vec<_>, Vec<_>) = labels.iter().partition(|label| label.0 == "end");
        assert!(beside.len() >= 8 && below.len() >= 8, "{high}: {labels:?}");
        for (i, &a) in beside.iter().enumerate() {
            assert!(beside[i + 1..].iter().all(|b| a.1 != b.1 || a.2.abs_diff(b.2) > 120), "{high}: {beside:?}");
            assert!(f64::from(a.1) - a.3 >= 0.0, "{high}: {a:?}");
        }
        for (i, a) in below.iter().enumerate() {
            let room = |b: &(String, i32, i32, f64)| f64::from(a.1.abs_diff(b.1)) - 0.5 * (a.3 + b.3);
            assert!(below[i + 1..].iter().all(|b| room(b) > 40.0), "{high}: {below:?}");
        }
    }
}

#[test]
fn long_titles_and_notes_are_wrapped_within_the_page() {
    let mut drawn = figure(vec![], Axis::linear("y"));
    drawn.title = "a title of many words ".repeat(20);
    drawn.footnote = Some("a note of many words ".repeat(20));
    let text = svg(&drawn);
    for size in ["150", "106"] {
        let lines = texts(&text, size);
        assert!((4..12).contains(&lines.len()), "{lines:?}");
        assert!(lines.iter().all(|line| line.3 < 6000.0 - 2.0 * 140.0), "{lines:?}");
    }
}

#[test]
fn odd_data_is_drawn_without_panic() {
    let odd: [&[(f64, f64)]; 10] = [
        &[],
        &[(0.0, 1.0)],
        &[(f64::NAN, f64::NAN), (f64::INFINITY, 1.0)],
        &[(1.0, 2.0), (1.0, 2.0), (1.0, 2.0)],
        &[(0.0, 1e-300), (1.0, 1e300)],
        &[(-1e300, -1e300), (1e300, 1e300)],
        &[(0.0, f64::MAX), (1.0, f64::MIN), (2.0, 5e-324)],
        &[(0.0, 0.0), (1.0, 0.0)],
        &[(5e9, 1.0), (5e9 + 1e-6, 1.0 + 1e-15)],
        &[(f64::MIN, 1.0), (f64::MAX, -1.0)],
    ];
    let styles = [Style::Solid, Style::Dashed, Style::Faint, Style::Points, Style::Mark(Symbol::Star)];
    for log in [false, true] {
        let panel = |points: &[(f64, f64)]| {
            let axis = Axis { log, ..Axis::default() };
            let band: Vec<_> = points.iter().map(|&(x, y)| (x, -y, y * 2.0)).collect();
            let whole = Curve { band: Some(band), end_cross: true, colour: usize::MAX, ..curve(points) };
            let curves = styles.map(|style| Curve { style, ..whole.clone() }).to_vec();
            Panel { x: axis.clone(), y: axis, curves, legend: true, ..Panel::default() }
        };
        let drawn = Figure { columns: 5, panels: odd.map(panel).to_vec(), ..Figure::default() };
        assert!(svg(&drawn).ends_with("</svg>\n"));
        assert!(drawn.png().is_ok());
    }
    let empty = svg(&figure(vec![curve(&[(0.0, f64::NAN)])], Axis::log("y")));
    assert!(empty.contains(">\nno data\n<"));
}

#[test]
fn odd_pages_are_drawn_without_panic() {
    for columns in [0, 2, 1000] {
        for panels in [0, 1, 3] {
            let panels = vec![Panel { title: "a very long heading ".repeat(20), ..Panel::default() }; panels];
            let drawn = Figure { title: "word ".repeat(100), columns, panels, footnote: None };
            assert!(svg(&drawn).ends_with("</svg>\n") && drawn.png().is_ok());
        }
    }
    assert!(Figure::default().png().is_ok());
}

#[test]
fn an_error_names_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("missing").join("figure.svg");
    for result in [Figure::default().write_svg(&path), Figure::default().write_png(&path)] {
        assert!(result.unwrap_err().to_string().contains(path.to_str().unwrap()));
    }
    let path = folder.path().join("figure.png");
    Figure::default().write_png(&path).unwrap();
    assert_eq!(std::fs::read(path).unwrap(), Figure::default().png().unwrap());
}
