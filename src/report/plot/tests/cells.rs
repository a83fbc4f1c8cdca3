//! Matrices.

use super::*;

#[test]
fn render() {
    let n = 15;
    let mut state = 1u64;
    let mut random = move || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 33) as f64 / (1u64 << 31) as f64 - 0.5
    };
    let mut panels = Vec::new();
    let mut gram_panels = Vec::new();
    for k in 0..6 {
        let noise = [0.02, 0.1, 0.2, 0.3, 0.5, 0.8][k];
        let w: Vec<f64> = (0..n * n)
            .map(|i| {
                let (r, c) = (i / n, i % n);
                let signal = if c < 5 && r % 5 == c { if r < 8 { 1.0 } else { -1.0 } } else { 0.0 };
                signal + noise * random()
            })
            .collect();
        let mut gram: Vec<f64> =
            (0..n * n).map(|i| (0..n).map(|r| w[r * n + i / n] * w[r * n + i % n]).sum::<f64>().abs()).collect();
        if k == 5 {
            for i in [3, 4, 18, 19, 40] {
                gram[i] = f64::NAN;
            }
        }
        let title =
            ["SGD, batch 1", "SGD, batch 8", "SGD, batch 32", "SGD, batch 128", "gradient descent", "label noise, batch 32"][k];
        let label = if k == 0 { ["W", "WᵀW"] } else { ["", ""] };
        let cells = Cells {
            rows: n,
            columns: n,
            values: w,
            range: if k == 0 { Some((-1.0, 1.0)) } else { None },
            colours: Colours::Diverging,
            mark_column: Some(5),
        };
        panels.push(Panel { title: title.into(), y: Axis::linear(label[0]), cells: Some(cells.clone()), ..Panel::default() });
        gram_panels.push(Panel {
            x: Axis::linear(if k % 2 == 0 { "input" } else { "" }),
            y: Axis::linear(label[1]),
            cells: Some(Cells { values: gram, range: None, colours: Colours::Sequential, ..cells }),
            ..Panel::default()
        });
    }
    panels.append(&mut gram_panels);
    let f = Figure {
        title: "Figure 5: first-layer weights (top) and their Gram matrices (bottom)".into(),
        columns: 6,
        panels: panels.clone(),
        footnote: Some("One run each; the line marks the first irrelevant input.".into()),
    };
    f.write_png("/tmp/h4-heat/out.png").unwrap();
    f.write_svg("/tmp/h4-heat/out.svg").unwrap();
    let mut mixed = vec![panels[0].clone(), panels[11].clone()];
    mixed.push(figure(vec![curve(&[(0.0, 1.0), (1.0, 0.3)])], Axis::log("loss")).panels[0].clone());
    mixed[1].cells.as_mut().unwrap().rows = 4;
    mixed.push(Panel { title: "empty".into(), cells: Some(Cells::default()), ..Panel::default() });
    mixed.push(Panel {
        title: "one".into(),
        cells: Some(Cells { rows: 1, columns: 1, values: vec![f64::NAN], ..Cells::default() }),
        ..Panel::default()
    });
    mixed.push(Panel {
        title: "constant".into(),
        cells: Some(Cells { rows: 2, columns: 3, values: vec![7.0; 6], mark_column: Some(3), ..Cells::default() }),
        ..Panel::default()
    });
    Figure { title: "mixed".into(), columns: 3, panels: mixed, footnote: None }.write_png("/tmp/h4-heat/mixed.png").unwrap();
}
