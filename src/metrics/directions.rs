//! Where the neurons of a layer point, and how far the weights have moved.

use crate::error::{Result, refuse};

/// How well student neurons point along teacher neurons: Σ_j c_j max_i cos(w_j, w*_i) / Σ_j c_j.
///
/// `students` are rows w_j and `teachers` rows w*_i of `d` entries; `importance` is c_j >= 0 for every student, |a_j|·‖w_j‖ in a
/// two-layer network with output weights a. 1 if every neuron that counts is parallel to one of the teacher's. Zero rows have no
/// direction and are left out; NaN if none is left on either side, or all that are have c_j = 0.
///
/// # Errors
/// If rows do not have d entries or the importances are not one for each student.
pub fn clustering(d: usize, students: &[f64], importance: &[f64], teachers: &[f64]) -> Result<f64> {
    let whole = |rows: &[f64]| d > 0 && rows.len().is_multiple_of(d);
    if !whole(students) || !whole(teachers) || students.len() / d != importance.len() {
        return refuse!(
            "clustering: {} student and {} teacher weights in rows of {d}, {} importances; expected whole rows, and one importance for each student row",
            students.len(),
            teachers.len(),
            importance.len()
        );
    }
    let teachers: Vec<Vec<f64>> = teachers.chunks_exact(d).filter_map(unit).collect();
    let (mut sum, mut total) = (0.0, 0.0);
    for (student, c) in students.chunks_exact(d).zip(importance) {
        let Some(student) = unit(student) else { continue };
        let cosines = teachers.iter().map(|teacher| teacher.iter().zip(&student).map(|(t, s)| t * s).sum::<f64>());
        let Some(best) = cosines.reduce(crate::run::nan_max) else { continue };
        sum += c * best;
        total += c;
    }
    Ok(sum / total)
}

/// ‖W - W₀‖_F.
///
/// # Errors
/// If the two differ in size.
pub fn distance(weights: &[f64], initial: &[f64]) -> Result<f64> {
    if weights.len() != initial.len() {
        return refuse!("distance: {} weights and {} initial ones, expected as many", weights.len(), initial.len());
    }
    Ok(weights.iter().zip(initial).map(|(w, initial)| (w - initial).powi(2)).sum::<f64>().sqrt())
}

/// w/‖w‖, if w is not zero; divided by its largest entry first, so that squares neither overflow nor vanish.
fn unit(w: &[f64]) -> Option<Vec<f64>> {
    let largest = w.iter().map(|w| w.abs()).fold(0.0, crate::run::nan_max);
    let norm = w.iter().map(|w| (w / largest).powi(2)).sum::<f64>().sqrt();
    (largest != 0.0).then(|| w.iter().map(|w| w / largest / norm).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_by_hand() {
        // Cosines with e_1 and e_2: (3, 4) has .6 and .8, (-1, 0) has -1 and 0, (0, 2) has 0 and 1.
        let teachers = [2.0, 0.0, 0.0, 0.5];
        let students = [3.0, 4.0, -1.0, 0.0, 0.0, 2.0];
        let got = clustering(2, &students, &[5.0, 1.0, 2.0], &teachers).unwrap();
        assert!((got - (5.0 * 0.8 + 1.0 * 0.0 + 2.0 * 1.0) / 8.0).abs() <= 1e-15, "{got}");
        // One teacher: the one that points away counts with -1.
        let got = clustering(2, &students, &[0.0, 1.0, 0.0], &teachers[..2]).unwrap();
        assert_eq!(got, -1.0);
        assert_eq!(distance(&[1.0, 2.0, 3.0], &[1.0, 5.0, -1.0]).unwrap(), 5.0);
    }

    #[test]
    fn scale_and_zero_rows_do_not_matter() {
        let (students, teachers) = ([0.3, -0.7, 0.2, 0.9, 0.1, 0.4], [1.0, 2.0, 0.5, -0.5, 0.3, 0.3]);
        let want = clustering(3, &students, &[1.0, 2.0], &teachers).unwrap();
        // numpy: largest cosines -.55427 and .57313.
        assert!((want - 0.197_326_487_129_186_96).abs() <= 1e-15, "{want}");
        for scale in [1e-200, 1e200] {
            let scaled = students.map(|w| w * scale);
            let got = clustering(3, &scaled, &[1.0, 2.0], &teachers).unwrap();
            assert!((got - want).abs() <= 1e-15, "{got}");
        }
        let with_zero = [students.as_slice(), &[0.0; 3]].concat();
        assert_eq!(clustering(3, &with_zero, &[1.0, 2.0, 7.0], &[teachers.as_slice(), &[0.0; 3]].concat()).unwrap(), want);
    }

    #[test]
    fn without_directions_it_is_not_a_number() {
        assert!(clustering(2, &[0.0, 0.0], &[1.0], &[1.0, 0.0]).unwrap().is_nan());
        assert!(clustering(2, &[1.0, 0.0], &[1.0], &[0.0, 0.0]).unwrap().is_nan());
        assert!(clustering(2, &[1.0, 0.0], &[0.0], &[1.0, 0.0]).unwrap().is_nan());
        assert!(clustering(2, &[f64::NAN, 0.0, 1.0, 0.0], &[1.0, 1.0], &[1.0, 0.0]).unwrap().is_nan());
        assert!(clustering(2, &[1.0, 0.0], &[1.0], &[1.0, 0.0, f64::NAN, 1.0]).unwrap().is_nan());
        assert!(distance(&[f64::NAN], &[0.0]).unwrap().is_nan());
        assert!(clustering(2, &[1.0], &[1.0], &[1.0, 0.0]).unwrap_err().to_string().contains("expected whole rows"));
        assert!(clustering(2, &[1.0, 2.0], &[], &[1.0, 0.0]).is_err());
        assert!(clustering(0, &[], &[], &[]).is_err());
        assert!(distance(&[1.0], &[]).unwrap_err().to_string().contains("1 weights and 0 initial"));
    }
}
