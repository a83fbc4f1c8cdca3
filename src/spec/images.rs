use super::Spec;
use crate::data::images::{ImageSet, Loaded, Source};
use crate::data::{Data, Features};
use crate::error::{Result, refuse};
use crate::nets::{Architecture, Convnet, Resnet};

impl Spec {
    /// The same on other images: the first so many of them, if the spec's own are so many. Networks take on their size and their
    /// classes: of perceptrons, widths that were the number of pixels or of classes are the new ones. The images of the spec's data
    /// come with it.
    ///
    /// # Errors
    /// If the spec is not of images, or these cannot be read.
    pub fn with_images(&self, source: &Source) -> Result<(Spec, Loaded)> {
        let mut spec = self.clone();
        let old = self.data.clone();
        let Some(loaded) = spec.data.take_images(source)? else {
            return refuse!("--data {source}: this figure is not of images; leave it out, or see --set data.kind");
        };
        spec.title = self.title.replace(&old.name(), &spec.data.name());
        spec.net.take_images(&old, &loaded.set);
        for run in &mut spec.runs {
            let old = run.data.as_ref().unwrap_or(&old).clone();
            let own = run.data.as_mut().map_or(Ok(None), |data| data.take_images(source))?;
            if let Some(net) = &mut run.net {
                net.take_images(&old, &own.as_ref().unwrap_or(&loaded).set);
            }
        }
        spec.overrides.push(format!("data={source}"));
        Ok((spec, loaded))
    }
}

impl Data {
    /// Puts other images in the place of its own, if it is of images, and returns them.
    fn take_images(&mut self, source: &Source) -> Result<Option<Loaded>> {
        if let Data::Features(Features { images, net, .. }) = self {
            let loaded = images.take_images(source)?;
            if let Some(Loaded { set, .. }) = &loaded {
                (net.image, net.classes) = ([set.height, set.width, set.channels], set.classes);
            }
            return Ok(loaded);
        }
        let Data::Images { source: own, train, test, seed, only, .. } = self else { return Ok(None) };
        let loaded = Loaded::new(source, *seed, only)?;
        let Loaded { set, .. } = &loaded;
        let limit = |wanted: &Option<usize>, all: usize| wanted.map(|wanted| wanted.min(all));
        (*train, *test) = (limit(train, set.train.len()), limit(test, set.test.len()));
        *own = source.clone();
        Ok(Some(loaded))
    }
}

impl Architecture {
    /// Takes on the size of other images, in the place of old data, and their classes.
    fn take_images(&mut self, old: &Data, set: &ImageSet) {
        match self {
            Architecture::Resnet(Resnet { image, classes, .. }) | Architecture::Convnet(Convnet { image, classes, .. }) => {
                (*image, *classes) = ([set.height, set.width, set.channels], set.classes);
            }
            Architecture::Mlp { widths, .. } => {
                let last = widths.len() - 1;
                if let Data::Images { .. } = old {
                    let pixels = widths[0];
                    widths[..last].iter_mut().filter(|width| **width == pixels).for_each(|width| *width = set.image_len());
                }
                widths[last] = set.classes;
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::npz::{Array, write};
    use crate::experiments;
    use crate::spec::Scale;

    #[test]
    fn images_are_read_once() {
        let (folder, figure) = (tempfile::tempdir().unwrap(), experiments::find("sparse/fig7").unwrap());
        let path = folder.path().join("a.npz");
        let array = |shape: &[usize], values: Vec<f64>| Array { shape: shape.to_vec(), values };
        let pixels = array(&[6, 4, 4], (0..96).map(f64::from).collect());
        let classes = array(&[6], vec![0.0, 1.0, 2.0, 0.0, 1.0, 2.0]);
        write(&path, &[("X".to_owned(), pixels), ("y".to_owned(), classes)]).unwrap();
        let with_images = || (figure.declare)(Scale::Smoke).with_images(&Source::Npz { path: path.clone() }).unwrap();
        let ((spec, loaded), (_, again)) = (with_images(), with_images());
        let want = spec.data.load().unwrap();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(spec.data.load_from(Some(loaded)).unwrap(), want);
        // Others than were read are read.
        let mut other = spec.data.clone();
        let Data::Images { only, .. } = &mut other else { panic!("{} is not of images", other.name()) };
        only.extend([0, 1]);
        assert!(other.load_from(Some(again)).unwrap_err().to_string().starts_with("cannot read"));
        assert!(spec.data.load_from(None).is_err());
    }
}
