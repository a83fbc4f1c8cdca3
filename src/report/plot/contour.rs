//! Where a function on a grid reaches a level: marching squares, whose pieces are joined to closed rings.

use std::collections::BTreeMap;

use super::clip::Point;

/// Values beyond this leave a gap, so that sums of four and differences stay finite.
const LARGEST: f64 = f64::MAX / 4.0;

/// Once around a cell, corners and sides in turn, as steps of half a column and half a row.
const AROUND: [(usize, usize); 8] = [(0, 0), (1, 0), (2, 0), (2, 1), (2, 2), (1, 2), (0, 2), (0, 1)];

/// A corner of the grid, or the crossing between two neighbours, in half rows and half columns.
type Node = (usize, usize);

/// Values of a function on a grid, row by row; the cells around one that is missing or not finite are a gap.
pub(super) struct Field {
    pub columns: usize,
    pub rows: usize,
    pub values: Vec<f64>,
}

/// A closed boundary, in columns and rows of the grid.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Ring {
    /// Cells enclosed: positive where the inside is the higher side, negative where it is the lower side or a gap.
    pub area: f64,
    /// Each point, and whether it is a corner of the grid. Rings pass through corners only along gaps and the edge
    /// of the grid; all other points lie where the function has the value of the level.
    points: Vec<(Point, bool)>,
}

impl Ring {
    pub fn points(&self) -> impl Iterator<Item = Point> {
        self.points.iter().map(|&(at, _)| at)
    }

    /// The lines of the level: the ring without its ways along gaps and the edge of the grid.
    pub fn level_lines(&self) -> Vec<Vec<Point>> {
        let mut points = self.points.clone();
        match points.iter().position(|&(_, corner)| corner) {
            Some(first) => points.rotate_left(first),
            None => points.extend_from_within(..1),
        }
        let lines = points.split(|&(_, corner)| corner).filter(|line| line.len() > 1);
        lines.map(|line| line.iter().map(|&(at, _)| at).collect()).collect()
    }
}

impl Field {
    /// The boundary of where the function is at least `level`; for −∞, of where it is known.
    pub fn rings(&self, level: f64) -> Vec<Ring> {
        let mut ways: BTreeMap<Node, Vec<Node>> = BTreeMap::new();
        for row in 0..self.rows {
            for column in 0..self.columns {
                for (from, to) in self.pieces(column, row, level) {
                    ways.entry(from).or_default().push(to);
                }
            }
        }
        let mut rings = Vec::new();
        // As many pieces reach a node as leave it, so every walk comes back to where it began.
        while let Some((&start, _)) = ways.first_key_value() {
            let mut points = Vec::new();
            let mut node = start;
            while let Some(to) = ways.get_mut(&node).and_then(Vec::pop) {
                if ways.get(&node).is_some_and(Vec::is_empty) {
                    ways.remove(&node);
                }
                points.push((self.place(node, level), is_corner(node)));
                node = to;
                if node == start {
                    break;
                }
            }
            rings.push(Ring { area: area(&points), points });
        }
        rings
    }

    /// The part of the boundary that lies in a cell, with the higher side to its left.
    fn pieces(&self, column: usize, row: usize, level: f64) -> Vec<(Node, Node)> {
        let Some(values) = self.cell(column, row) else { return Vec::new() };
        let high = values.map(|value| value >= level);
        // At a saddle, the mean of the corners decides whether the high ones or the low ones are joined.
        let (ahead, back) = (1, 3);
        let turn = if values.iter().sum::<f64>() / 4.0 >= level { ahead } else { back };
        let node = |step: usize| (2 * row + AROUND[step % 8].1, 2 * column + AROUND[step % 8].0);
        let mut pieces = Vec::new();
        for side in 0..4 {
            let [from, crossing, to] = [0, 1, 2].map(|step| node(2 * side + step));
            let falls = |side: usize| (high[side % 4], high[(side + 1) % 4]);
            if falls(side) == (true, false) {
                let rise = (1..4).map(|k| side + k * turn).find(|&other| falls(other) == (false, true));
                pieces.extend(rise.map(|other| (crossing, node(2 * other + 1))));
            }
            if self.beside(column, row, side).is_none() {
                match falls(side) {
                    (true, true) => pieces.push((from, to)),
                    (true, false) => pieces.push((from, crossing)),
                    (false, true) => pieces.push((crossing, to)),
                    (false, false) => {}
                }
            }
        }
        pieces
    }

    /// Values at the corners of a cell, counter-clockwise from its least row and column; `None` for a gap.
    fn cell(&self, column: usize, row: usize) -> Option<[f64; 4]> {
        let value = |column: usize, row: usize| {
            let value = if column < self.columns { *self.values.get(row * self.columns + column)? } else { f64::NAN };
            (value.abs() <= LARGEST).then_some(value)
        };
        Some([value(column, row)?, value(column + 1, row)?, value(column + 1, row + 1)?, value(column, row + 1)?])
    }

    fn beside(&self, column: usize, row: usize, side: usize) -> Option<[f64; 4]> {
        match side {
            0 => self.cell(column, row.checked_sub(1)?),
            1 => self.cell(column + 1, row),
            2 => self.cell(column, row + 1),
            _ => self.cell(column.checked_sub(1)?, row),
        }
    }

    /// Where a node lies; crossings by linear interpolation.
    fn place(&self, (row, column): Node, level: f64) -> Point {
        let value = |row: usize, column: usize| self.values[row * self.columns + column];
        let (from, to) = (value(row / 2, column / 2), value(row.div_ceil(2), column.div_ceil(2)));
        let along = |half: usize| (half / 2) as f64 + if half.is_multiple_of(2) { 0.0 } else { (level - from) / (to - from) };
        (along(column), along(row))
    }
}

fn is_corner((row, column): Node) -> bool {
    row.is_multiple_of(2) && column.is_multiple_of(2)
}

/// Positive for a counter-clockwise ring.
fn area(points: &[(Point, bool)]) -> f64 {
    let next = points.iter().cycle().skip(1);
    points.iter().zip(next).map(|((p, _), (q, _))| (p.0 * q.1 - q.0 * p.1) / 2.0).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(columns: usize, rows: usize, function: impl Fn(f64, f64) -> f64) -> Field {
        let corners = (0..rows).flat_map(|row| (0..columns).map(move |column| (column as f64, row as f64)));
        Field { columns, rows, values: corners.map(|(x, y)| function(x, y)).collect() }
    }

    fn lines(field: &Field, level: f64) -> Vec<Vec<Point>> {
        field.rings(level).iter().flat_map(Ring::level_lines).collect()
    }

    #[test]
    fn a_paraboloid_has_circles() {
        let bowl = field(41, 31, |x, y| (x - 20.0).powi(2) + (y - 15.0).powi(2));
        for radius in [0.7, 3.3, 10.0, 14.9] {
            let rings = bowl.rings(radius * radius);
            let lines: Vec<_> = rings.iter().flat_map(Ring::level_lines).collect();
            assert_eq!((rings.len(), lines.len()), (2, 1), "the edge of the grid, and a hole in it");
            assert_eq!(lines[0].first(), lines[0].last());
            for &(x, y) in &lines[0] {
                let distance = (x - 20.0).hypot(y - 15.0);
                // Linear interpolation of a parabola of unit curvature is off by at most 1/4 in value.
                assert!((distance * distance - radius * radius).abs() <= 0.25 + 1e-9, "{distance} {radius}");
            }
            let hole = rings.iter().map(|ring| ring.area).fold(f64::INFINITY, f64::min);
            let disc = std::f64::consts::PI * radius * radius;
            assert!((hole + disc).abs() <= 1.5, "{hole} {disc}");
            assert!((rings.iter().map(|ring| ring.area).sum::<f64>() - (1200.0 + hole)).abs() < 1e-9);
        }
        // Beyond the nearer edges the circle is cut into two arcs.
        assert_eq!(lines(&bowl, 17.0 * 17.0).len(), 2);
    }

    #[test]
    fn a_plane_has_straight_lines_from_edge_to_edge() {
        let plane = field(5, 4, |x, y| x + 10.0 * y);
        let [line] = &lines(&plane, 12.5)[..] else { panic!("one line") };
        assert!(line.iter().all(|&(x, y)| (x + 10.0 * y - 12.5).abs() < 1e-12), "{line:?}");
        // The higher side is to the left.
        assert_eq!((line[0], line[line.len() - 1]), ((0.0, 1.25), (4.0, 0.85)));
    }

    #[test]
    fn a_saddle_joins_what_its_mean_tells() {
        let saddle = Field { columns: 2, rows: 2, values: vec![1.0, 0.0, 0.0, 1.0] };
        let joined = saddle.rings(0.4);
        assert_eq!(joined.len(), 1);
        assert!((joined[0].area - (1.0 - 0.4 * 0.4)).abs() < 1e-12, "{joined:?}");
        let parted = saddle.rings(0.6);
        assert_eq!(parted.len(), 2);
        assert!(parted.iter().all(|ring| (ring.area - 0.08).abs() < 1e-12), "{parted:?}");
        for level in [0.4, 0.6] {
            let ends: Vec<Point> = lines(&saddle, level).concat();
            let mut expected = vec![(1.0 - level, 0.0), (1.0, level), (level, 1.0), (0.0, 1.0 - level)];
            assert_eq!(ends.len(), 4);
            expected.retain(|e| !ends.iter().any(|p| (p.0 - e.0).hypot(p.1 - e.1) < 1e-12));
            assert!(expected.is_empty(), "{expected:?} is not in {ends:?}");
        }
    }

    #[test]
    fn lines_stop_at_gaps() {
        let odd = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, f64::MAX];
        for gap in odd {
            let plane = field(7, 7, |x, y| if (x, y) == (3.0, 3.0) { gap } else { y });
            let lines = lines(&plane, 2.5);
            assert_eq!(lines.len(), 2, "{gap}: {lines:?}");
            assert!(lines.concat().iter().all(|&(x, y)| y == 2.5 && (x <= 2.0 || x >= 4.0)), "{gap}: {lines:?}");
            let known: Vec<f64> = plane.rings(f64::NEG_INFINITY).iter().map(|ring| ring.area).collect();
            assert_eq!(known, [36.0, -4.0]);
        }
        // The last row is short of one value, so the last cell is missing.
        let mut short = field(3, 3, |x, _| x);
        short.values.pop();
        assert_eq!(short.rings(f64::NEG_INFINITY).iter().map(|ring| ring.area).sum::<f64>(), 3.0);
    }

    #[test]
    fn gaps_may_touch() {
        let chain = field(9, 9, |x, y| if x == y && x % 2.0 == 0.0 { f64::NAN } else { x });
        let known: f64 = chain.rings(f64::NEG_INFINITY).iter().map(|ring| ring.area).sum();
        assert_eq!(known, 64.0 - 3.0 * 4.0 - 2.0);
        // Gaps at (0, 0), (2, 2) and so on: the line x = 2.5 is cut from y = 1 to y = 3.
        let mut lengths: Vec<usize> = lines(&chain, 2.5).iter().map(Vec::len).collect();
        lengths.sort();
        assert_eq!(lengths, [2, 6]);
    }

    #[test]
    fn levels_out_of_reach_have_no_lines() {
        let plane = field(4, 3, |x, y| x + y);
        for level in [f64::NEG_INFINITY, -1.0, 5.5, f64::INFINITY, f64::NAN] {
            assert!(lines(&plane, level).is_empty(), "{level}");
        }
        for (columns, rows) in [(0, 0), (1, 5), (5, 1), (0, 3)] {
            assert!(field(columns, rows, |x, _| x).rings(0.5).is_empty(), "{columns} x {rows}");
        }
    }

    #[test]
    fn every_ring_is_closed_by_short_steps() {
        let rough = field(30, 20, |x, y| if (x * 7.0 + y * 3.0) % 11.0 == 4.0 { f64::NAN } else { (x * y * 0.37).sin() });
        for level in [-0.9, -0.2, 0.0, 0.5, 1.0] {
            for ring in rough.rings(level) {
                let points: Vec<Point> = ring.points().collect();
                assert!(points.len() > 2);
                for (p, q) in points.iter().zip(points.iter().cycle().skip(1)) {
                    assert!((p.0 - q.0).abs() <= 1.0 && (p.1 - q.1).abs() <= 1.0, "{p:?} {q:?}");
                }
            }
        }
    }
}
