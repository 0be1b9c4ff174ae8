//! Backward passes of the training operations, on any backend that has their gradients.

use burn::backend::Autodiff;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;

use crate::ops::{ConvAttributes, NormAttributes, Storing, TrainingGradients, TrainingOps};

#[derive(Debug)]
struct Conv;

impl<B: TrainingGradients> Backward<B, 2> for Conv {
    type State = (FloatTensor<B>, FloatTensor<B>, ConvAttributes);

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
        let grad = grads.consume::<B>(&ops.node);
        let (x, weight, attributes) = ops.state;
        let [x_node, weight_node] = ops.parents;
        if let Some(node) = x_node {
            let dx = B::conv2d_grad_input(grad.clone(), x.clone(), weight.clone(), attributes);
            grads.register::<B>(node.id, dx);
        }
        if let Some(node) = weight_node {
            grads.register::<B>(node.id, B::conv2d_grad_weight(grad, x, weight, attributes));
        }
    }
}

#[derive(Debug)]
struct BatchNorm;

impl<B: TrainingGradients> Backward<B, 3> for BatchNorm {
    type State = ([FloatTensor<B>; 4], NormAttributes);

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, _: &mut Checkpointer) {
        let grad = grads.consume::<B>(&ops.node);
        let ([x, statistics, gamma, beta], attributes) = ops.state;
        let gradients = B::batch_norm_grad(grad, x, statistics, gamma, beta, attributes);
        for (node, gradient) in ops.parents.into_iter().zip(gradients) {
            if let Some(node) = node {
                grads.register::<B>(node.id, gradient);
            }
        }
    }
}

#[derive(Debug)]
struct Store;

impl<B: TrainingGradients> Backward<B, 3> for Store {
    type State = ([FloatTensor<B>; 3], Storing);

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, _: &mut Checkpointer) {
        let grad = grads.consume::<B>(&ops.node);
        let ([x, bias, step], storing) = ops.state;
        let gradients = B::store_grad(grad, x, bias, step, storing);
        for (node, gradient) in ops.parents.into_iter().zip(gradients) {
            if let Some(node) = node {
                grads.register::<B>(node.id, gradient);
            }
        }
    }
}

impl<B: TrainingGradients, C: CheckpointStrategy> TrainingOps for Autodiff<B, C> {
    fn conv2d_padded(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        attributes: ConvAttributes,
    ) -> FloatTensor<Self> {
        let out = B::conv2d_padded(x.primitive().clone(), weight.primitive().clone(), attributes);
        match Conv.prepare::<C>([x.node(), weight.node()]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                prep.finish((x.into_primitive(), weight.into_primitive(), attributes), out)
            }
            OpsKind::UnTracked(prep) => prep.finish(out),
        }
    }

    fn batch_statistics(x: FloatTensor<Self>) -> FloatTensor<Self> {
        use burn::backend::AutodiffBackend;
        Self::from_inner(B::batch_statistics(x.into_primitive()))
    }

    fn batch_norm_act(
        x: FloatTensor<Self>,
        statistics: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        attributes: NormAttributes,
    ) -> FloatTensor<Self> {
        let nodes = [x.node(), gamma.node(), beta.node()];
        let inputs = [x, statistics, gamma, beta].map(|tensor| tensor.into_primitive());
        let [a, b, c, d] = inputs.clone();
        let out = B::batch_norm_act(a, b, c, d, attributes);
        match BatchNorm.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish((inputs, attributes), out),
            OpsKind::UnTracked(prep) => prep.finish(out),
        }
    }

    fn store(
        x: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        step: FloatTensor<Self>,
        storing: Storing,
    ) -> FloatTensor<Self> {
        let nodes = [x.node(), bias.node(), step.node()];
        let inputs = [x, bias, step].map(|tensor| tensor.into_primitive());
        let [a, b, c] = inputs.clone();
        let out = B::store(a, b, c, storing);
        match Store.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish((inputs, storing), out),
            OpsKind::UnTracked(prep) => prep.finish(out),
        }
    }
}
