//! Clipping to the unit square: what leaves the frame of a panel is not drawn, and no coordinate overflows.

pub(super) type Point = (f64, f64);

/// Signed distance of `p` from each side of the unit square, positive inside.
const SIDES: [fn(Point) -> f64; 4] = [|p| p.0, |p| 1.0 - p.0, |p| p.1, |p| 1.0 - p.1];

/// The point of the segment p-q on the side from which p and q lie at distances `dp` and `dq` of opposite sign.
fn cut(p: Point, q: Point, dp: f64, dq: f64) -> Point {
    let t = dp / (dp - dq);
    (p.0 + t * (q.0 - p.0), p.1 + t * (q.1 - p.1))
}

fn segment(mut p: Point, mut q: Point) -> Option<(Point, Point)> {
    for side in SIDES {
        let (dp, dq) = (side(p), side(q));
        match (dp < 0.0, dq < 0.0) {
            (true, true) => return None,
            (true, false) => p = cut(p, q, dp, dq),
            (false, true) => q = cut(p, q, dp, dq),
            (false, false) => {}
        }
    }
    Some((p, q))
}

/// The visible pieces of the line through `points`.
pub(super) fn line(points: &[Point]) -> Vec<Vec<Point>> {
    let mut pieces: Vec<Vec<Point>> = Vec::new();
    for pair in points.windows(2) {
        let Some((p, q)) = segment(pair[0], pair[1]) else { continue };
        match pieces.last_mut() {
            Some(piece) if piece.last() == Some(&p) => piece.push(q),
            _ => pieces.push(vec![p, q]),
        }
    }
    pieces
}

/// The visible part of a polygon (Sutherland and Hodgman, 1974).
pub(super) fn polygon(mut corners: Vec<Point>) -> Vec<Point> {
    for side in SIDES {
        let mut kept = Vec::with_capacity(corners.len());
        for (i, &q) in corners.iter().enumerate() {
            let p = corners[(i + corners.len() - 1) % corners.len()];
            let (dp, dq) = (side(p), side(q));
            if (dp < 0.0) != (dq < 0.0) {
                kept.push(cut(p, q, dp, dq));
            }
            if dq >= 0.0 {
                kept.push(q);
            }
        }
        corners = kept;
    }
    corners
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_leaves_and_enters_the_frame() {
        let pieces = line(&[(0.0, 0.5), (0.5, 1.5), (1.0, 0.5)]);
        assert_eq!(pieces, [vec![(0.0, 0.5), (0.25, 1.0)], vec![(0.75, 1.0), (1.0, 0.5)]]);
        assert!(line(&[(2.0, 0.0), (2.0, 1.0)]).is_empty());
        assert_eq!(line(&[(0.1, 0.1), (0.2, 0.2), (0.3, 0.1)]).len(), 1);
    }

    #[test]
    fn a_polygon_is_cut_at_the_frame() {
        let corners = polygon(vec![(0.5, -1.0), (2.0, -1.0), (2.0, 0.5), (0.5, 0.5)]);
        for corner in [(0.5, 0.0), (1.0, 0.0), (1.0, 0.5), (0.5, 0.5)] {
            assert!(corners.contains(&corner), "{corner:?} is not in {corners:?}");
        }
        assert!(corners.iter().all(|p| SIDES.iter().all(|side| side(*p) >= 0.0)));
        assert!(polygon(vec![(2.0, 2.0), (3.0, 2.0), (3.0, 3.0)]).is_empty());
    }
}
