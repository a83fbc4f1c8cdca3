//! Tiles and notes.

use super::*;

/// Three columns and two rows over x in (1, 1000), logarithmic, and y in (0, 2).
fn panel(values: &[f64], shades: Shades) -> Panel {
    let x = Axis { range: Some((1.0, 1000.0)), ..Axis::log("") };
    let y = Axis { range: Some((0.0, 2.0)), ..Axis::linear("") };
    let mut tiles = Tiles::of(|_, _| 0.0, (&x, 3), (&y, 2), shades);
    tiles.values = values.to_vec();
    Panel { x, y, tiles: Some(tiles), ..Panel::default() }
}

fn page(panel: Panel) -> Figure {
    Figure { panels: vec![panel], ..Figure::default() }
}

/// Left, top, width, height and fill of every tile, in drawing order; the page itself comes before.
fn tiles(svg: &str) -> Vec<([i32; 4], String)> {
    let attribute =
        |line: &str, name: &str| line.split(&format!(" {name}=\"")).nth(1).unwrap().split('"').next().unwrap().to_owned();
    let rectangles = svg.lines().filter(|line| line.starts_with("<rect")).skip(1);
    let sides = |line: &str| ["x", "y", "width", "height"].map(|name| attribute(line, name).parse().unwrap());
    rectangles.map(|line| (sides(line), attribute(line, "fill"))).collect()
}

#[test]
fn a_function_is_taken_in_the_middle_of_its_tiles() {
    let x = Axis { range: Some((1.0, 100.0)), ..Axis::log("") };
    let y = Axis { range: Some((-1.0, 1.0)), ..Axis::linear("") };
    let drawn = Tiles::of(|x, y| x + 1000.0 * y, (&x, 2), (&y, 2), Shades::Classes);
    let want = [10f64.sqrt() - 500.0, 1000f64.sqrt() - 500.0, 10f64.sqrt() + 500.0, 1000f64.sqrt() + 500.0];
    assert!(drawn.values.iter().zip(want).all(|(got, want)| (got - want).abs() <= 1e-9), "{drawn:?}");
    assert_eq!((drawn.x.len(), drawn.y.len()), (3, 3));
}

#[test]
fn tiles_fill_their_places_and_equal_neighbours_are_one() {
    let text = svg(&page(panel(&[0.0, 0.0, 1.0, f64::NAN, 2.0, 2.0], Shades::Classes)));
    let drawn = tiles(&text);
    assert_eq!(drawn.len(), 3, "one for each run of a colour, none for NaN: {drawn:?}");
    let [below, right, above] = [0, 1, 2].map(|k| drawn[k].0.map(f64::from));
    // Two thirds and one third of the lower row, the last two thirds of the upper one, but for what keeps out seams.
    let width = right[0] + right[2] - below[0];
    assert!((below[2] / width - 2.0 / 3.0).abs() <= 0.01 && (above[0] - below[0] - width / 3.0).abs() <= 0.01 * width);
    assert!(above[1] < below[1] && (above[1] + above[3] - below[1]).abs() <= 11.0, "{above:?} {below:?}");
    let fills: std::collections::HashSet<&String> = drawn.iter().map(|(_, fill)| fill).collect();
    assert_eq!(fills.len(), 3);
}

#[test]
fn even_shades_run_from_dark_to_light() {
    let shades = Shades::Even { low: 0.0, high: 5.0 };
    let lightness = |fill: &str| -> u32 { [1, 3, 5].map(|i| u32::from_str_radix(&fill[i..i + 2], 16).unwrap()).iter().sum() };
    let drawn = tiles(&svg(&page(panel(&[0.0, 1.0, 2.0, 3.0, 4.0, 9.0], shades))));
    assert_eq!((drawn[0].1.as_str(), drawn[5].1.as_str()), ("#440154", "#FDE725"));
    assert!(drawn.windows(2).all(|pair| lightness(&pair[0].1) < lightness(&pair[1].1)), "{drawn:?}");
}

#[test]
fn notes_stand_where_they_are_told() {
    let notes = vec![(10f64.powf(1.5), 1.0, "III".to_owned())];
    let text = svg(&page(Panel { notes, ..panel(&[0.0; 6], Shades::Classes) }));
    let found = text.split("<text").skip(1).find(|element| element.contains(">\nIII\n<")).unwrap();
    let place =
        |name: &str| -> f64 { found.split(&format!(" {name}=\"")).nth(1).unwrap().split('"').next().unwrap().parse().unwrap() };
    let ([left, ..], _) = tiles(&text)[0];
    let right = tiles(&text).iter().map(|([x, _, width, _], _)| x + width).max().unwrap();
    assert!((place("x") - f64::from(left + right) / 2.0).abs() <= 20.0, "{found}");
    assert!(tiles(&svg(&page(panel(&[f64::NAN; 6], Shades::Classes)))).is_empty());
}
