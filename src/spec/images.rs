use super::Spec;
use crate::data::images::{ImageSet, Source};
use crate::data::{Data, Features};
use crate::error::{Result, refuse};
use crate::nets::{Architecture, Convnet, Resnet};

impl Spec {
    /// The same on other images: the first so many of them, if the spec's own are so many. Networks take on their size and their
    /// classes: of perceptrons, widths that were the number of pixels or of classes are the new ones.
    ///
    /// # Errors
    /// If the spec is not of images, or these cannot be read.
    pub fn with_images(&self, source: &Source) -> Result<Spec> {
        let mut spec = self.clone();
        let old = self.data.clone();
        let Some(set) = spec.data.take_images(source)? else {
            return refuse!("--data {source}: this figure is not of images; leave it out, or see --set data.kind");
        };
        spec.title = self.title.replace(&old.name(), &spec.data.name());
        spec.net.take_images(&old, &set);
        for run in &mut spec.runs {
            let old = run.data.as_ref().unwrap_or(&old).clone();
            let set = match &mut run.data {
                Some(data) => data.take_images(source)?.unwrap_or_else(|| set.clone()),
                None => set.clone(),
            };
            if let Some(net) = &mut run.net {
                net.take_images(&old, &set);
            }
        }
        spec.overrides.push(format!("data={source}"));
        Ok(spec)
    }
}

impl Data {
    /// Puts other images in the place of its own, if it is of images, and returns them.
    fn take_images(&mut self, source: &Source) -> Result<Option<ImageSet>> {
        if let Data::Features(Features { images, net, .. }) = self {
            let set = images.take_images(source)?;
            if let Some(set) = &set {
                (net.image, net.classes) = ([set.height, set.width, set.channels], set.classes);
            }
            return Ok(set);
        }
        let Data::Images { source: own, train, test, seed, only, .. } = self else { return Ok(None) };
        let set = source.load(*seed)?.only(only)?;
        let limit = |wanted: &Option<usize>, all: usize| wanted.map(|wanted| wanted.min(all));
        (*train, *test) = (limit(train, set.train.len()), limit(test, set.test.len()));
        *own = source.clone();
        Ok(Some(set))
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
