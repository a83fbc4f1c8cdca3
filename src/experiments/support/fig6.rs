//! Figure 6: covariance matrices of the pixels of images in grey. See `pixels.rs` for the data.

use super::PAPER;
use super::pixels::{self, Level, asked, sets};
use crate::claims::Claim;
use crate::error::Result;
use crate::experiments::Figure;
use crate::report::plot::{self, Axis, Cells, Colours, Panel};
use crate::run::Results;
use crate::spec::Spec;

pub(in crate::experiments) const FIGURE: Figure = Figure {
    id: "support/fig6",
    paper: PAPER,
    about: "covariance matrices of the pixels of images, and how many of their eigenvalues are sizeable",
    declare: |scale| pixels::declare(&FIGURE, "Covariance matrices of pixels, Figure 6", scale, &pixels::metrics()),
    expect,
    simulate: Some(pixels::simulate),
    check: pixels::check,
    draw,
};

/// Rows of a matrix that are drawn at most; of larger ones means over blocks.
const DRAWN: usize = 112;

fn expect(spec: &Spec, results: &Results) -> Result<Vec<Claim>> {
    let dimensional = asked(spec, results, None, "more eigenvalues above 1% of their sum than classes less one", |value| {
        let found = value("grey_effective_rank")?;
        Some((found > value("classes")? - 1.0, found))
    });
    let sizeable = asked(spec, results, None, "share of eigenvalues of XᵀX of 1e4 n/50,000 or more, above one half", |value| {
        let share = value("grey_sizeable")?;
        Some((share > 0.5, share))
    });
    let claim = |id: &str, statement: &str, evidence| Claim::all(id, statement, "Figure 6, appendix A", evidence);
    Ok(vec![
        claim(
            "high-dimensional",
            "the covariance of the inputs is high dimensional: more directions are sizeable than the classes need, which is 9 for 10",
            dimensional,
        ),
        claim("sizeable", "most of the singular values are of size 1e4 or bigger [!], as for 50,000 images", sizeable),
    ])
}

/// A d x d matrix as means over blocks of equal sides, but for the last ones, so that no more than [`DRAWN`] rows are left.
fn shrunk(matrix: &[f64], d: usize) -> (usize, Vec<f64>) {
    let side = d.div_ceil(DRAWN).max(1);
    let size = d.div_ceil(side);
    let (mut sums, mut counts) = (vec![0.0; size * size], vec![0.0; size * size]);
    for (at, value) in matrix.iter().enumerate() {
        let block = at / d / side * size + at % d / side;
        sums[block] += value;
        counts[block] += 1.0;
    }
    (size, sums.iter().zip(counts).map(|(sum, count)| sum / count).collect())
}

fn draw(spec: &Spec, _: &Results) -> Result<plot::Figure> {
    let mut panels = Vec::new();
    for run in sets(spec) {
        let data = spec.data_of(run).load()?;
        let [rows, columns, _] = pixels::image(&data)?;
        let covariance = pixels::covariance(&data, &pixels::drawn(data.n(), 0), Level::Grey)?;
        let (size, mut values) = shrunk(&covariance, rows * columns);
        values.iter_mut().for_each(|value| *value /= data.n() as f64);
        panels.push(Panel {
            title: spec.data_of(run).name(),
            y: Axis::linear("pixel"),
            cells: Some(Cells { rows: size, columns: size, values, colours: Colours::Diverging, ..Cells::default() }),
            ..Panel::default()
        });
    }
    Ok(plot::Figure {
        title: spec.title.clone(),
        columns: panels.len(),
        panels,
        footnote: Some(format!(
            "Covariances of the pixels' grey levels, row by row of the image, over all images; of more than {DRAWN} pixels means over blocks."
        )),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_matrices_shrink_to_means() {
        assert_eq!(shrunk(&[1.0, 2.0, 3.0, 4.0], 2), (2, vec![1.0, 2.0, 3.0, 4.0]));
        let d = 2 * DRAWN + 1;
        let matrix: Vec<f64> = (0..d * d).map(|at| (at % d) as f64).collect();
        let (size, values) = shrunk(&matrix, d);
        assert_eq!((size, values.len()), (d.div_ceil(3), d.div_ceil(3).pow(2)));
        assert_eq!((values[0], values[1], values[size - 1]), (1.0, 4.0, 223.0));
    }
}
