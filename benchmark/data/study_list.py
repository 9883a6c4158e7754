"""What every published source is, in our own words, and the few ways in which one differs from the rest.

Repository, commit and licence are read from the index of sources, sizes are counted: neither is repeated here.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Source:
    """A source of results that becomes a study.

    Attributes:
        title: one line for people.
        paper: who published it, and where.
        caveats: protocol and pitfalls, in our own words.
        head: what is trained on frozen features; `linear` unless the source says otherwise.
        heads: pattern of a metric or a task -> head, where one study has several.
        budget: labelled images of every cell, where it is not the whole training set.
        variant: pattern in a model's name that says how it was run and not which weights: it moves to the budget.
        scratch: pattern of `task metric`; these networks were trained on the task itself and are no pre-trained
            weights that another task could share, so each pair is a set of weights of its own.
        left_out: models whose results are not to be trusted, or that are no vision models.
        shipped: whether the licence lets the values travel in the package.
    """

    title: str
    paper: str
    caveats: str
    head: str = "linear"
    heads: dict[str, str] = field(default_factory=dict)
    budget: str = ""
    variant: str = ""
    scratch: str = ""
    left_out: tuple[str, ...] = ()
    shipped: bool = True


DATACOMP = "Ilharco et al., OpenCLIP; Gadre et al. 2023 (DataComp), arXiv:2304.14108"
SFDA = "Shao et al., ECCV 2022 (SFDA), arXiv:2207.03036"
PARC = "Bolya et al., NeurIPS 2021 (PARC), arXiv:2111.06977"

SOURCES = {
    "sfda_supervised_cnn": Source("supervised CNNs, tuned fine-tuning", SFDA,
        "Full fine-tuning with a hyper-parameter search, one run per cell, two decimals. Mean per-class accuracy "
        "on aircraft, caltech101, flowers and pets, mAP on voc2007, top-1 elsewhere."),
    "sfda_selfsup_resnet50": Source("self-supervised ResNet-50", SFDA,
        "Twelve self-supervised ResNet-50 checkpoints, protocol as for the supervised CNNs of the same paper."),
    "emms_vit": Source("vision transformers, tuned fine-tuning", "Meng et al., NeurIPS 2023 (EMMS), arXiv:2308.06262",
        "Thirteen vision transformers, protocol as in SFDA. The paper gives short names; the checkpoints behind "
        "them are inferred."),
    "emms_caption": Source("captioning with encoder-decoder pairs",
        "Meng et al., NeurIPS 2023 (EMMS), arXiv:2308.06262",
        "Nine pairs of an image encoder and a text decoder, fine-tuned to write captions. A cell belongs to the pair "
        "and not to the encoder alone; the score resembles BLEU, so values are low."),
    "rept_head_only_cnn": Source("supervised CNNs, head only",
        "REPT, a platform for judging transferability measures (repository)",
        "The CNNs and data sets of sfda_supervised_cnn with a frozen backbone and a trained head. Its sun397 column "
        "lies well above full fine-tuning of the same networks, so split or metric must differ there."),
    "transfergraph_hf": Source("Hugging Face checkpoints", "Li et al., ICDE 2024 (TransferGraph), arXiv:2404.03988",
        "Hugging Face checkpoints on one fixed schedule (SGD, 30 epochs, learning rate 0.01), not tuned, so some "
        "pairs failed. Test images overlap the validation part of the training split. No food101 column."),
    "shift_vtab_hf": Source("Hugging Face checkpoints on VTAB",
        "Renggli et al., VLDB 2022 (SHiFT), arXiv:2204.01457",
        "Hugging Face checkpoints on the VTAB tasks, SGD for 25 epochs, not tuned: many failed runs and much noise. "
        "Two budgets: 1,000 examples of every task, and the full training split of five."),
    "parc_all": Source("small CNNs from many sources", PARC,
        "A controlled set of 32 models and checkpoints collected from public zoos. The self-supervised rows look "
        "under-trained on cifar10."),
    "parc_controlled": Source("four architectures by eight source data sets", PARC,
        "The controlled part of parc_all: every architecture pre-trained on every source with one code base."),
    "openclip_zeroshot": Source("open_clip models", DATACOMP,
        "Zero-shot evaluation on the 38 DataComp tasks with one prompt set; the metric differs by task. Parameters "
        "count both towers."),
    "openclip_retrieval": Source("open_clip models, images by text", DATACOMP,
        "Finds images by their captions, and the associations of WinoGAViL; finer figures of three columns of "
        "openclip_zeroshot, so not independent of it."),
    "openclip_multilingual_retrieval": Source("open_clip models, images by text in many languages", DATACOMP,
        "Only the means over languages, 36 in Crossmodal-3600 and 11 in the multilingual captions of COCO. Models "
        "with an English tokenizer stand near zero: that is the language and not the image tower."),
    "clip_benchmark_zeroshot": Source("CLIP models, LAION's benchmark",
        "Cherti et al., CVPR 2023, arXiv:2212.07143; LAION CLIP_benchmark",
        "Thirteen models with prompts of its own, so a pair may differ by a few points from openclip_zeroshot. "
        "voc2007 is the one-label crop variant."),
    "scaling_laws_openclip_zeroshot": Source("CLIP models by size and data",
        "Cherti et al., CVPR 2023, arXiv:2212.07143",
        "A grid of architectures, data sizes and images seen, plus OpenAI's models; most of the grid is not in the "
        "open_clip registry. Same harness as clip_benchmark_zeroshot."),
    "lovm_zeroshot": Source("open_clip models, LOVM", "Zohar et al., NeurIPS 2023 (LOVM), arXiv:2306.08893",
        "Zero-shot top-1 of open_clip models. Nearly the same numbers as openclip_zeroshot on shared pairs: not "
        "independent evidence."),
    "swab_zeroshot": Source("open_clip, BLIP and BEiT-3 models", "Yi et al., NeurIPS 2024 (SWAB), arXiv:2403.13797",
        "The models of LOVM measured again with other prompts, and eight more. clevr_distance, pcam and fer2013 "
        "order the models otherwise than LOVM does, which shows how much prompts matter there."),
    "mobileclip_zeroshot": Source("MobileCLIP and its rivals",
        "Vasu et al., CVPR 2024 (MobileCLIP), arXiv:2311.17049; Faghri et al., TMLR 2025 (MobileCLIP2)",
        "The DataComp tasks by its own run, with SugarCrepe and long captions for the second generation."),
    "aitlas_arena": Source("Earth observation", "Dimitrovski et al., ISPRS 2023 (AiTLAS arena), arXiv:2207.07189",
        "Full fine-tuning on Earth-observation sets with splits of its own; mAP on the multi-label sets."),
    "medmnistplus_benchmark": Source("medical images", "Doerrich et al., Scientific Reports 2025, arXiv:2404.15786",
        "Read from published table images by character recognition, column averages checked. Mean of three seeds. "
        "Task names without a suffix are the 224 px inputs; the others say their side in pixels.",
        heads={r"^knn_": "knn"}),
    "biobench_leaderboard": Source("biology, frozen features", "Stevens 2025 (BioBench), arXiv:2511.16315",
        "Simple probes on frozen features; the score of each task is its own (macro F1, top-1, mean binary "
        "accuracy). Low numbers on beluga and plankton are genuine.",
        head="differs by task"),
    "timm_imagenet": Source("ImageNet and variants", "Wightman, PyTorch Image Models, doi:10.5281/zenodo.4414861",
        "Evaluation of ImageNet classifiers on ImageNet and its variants, no transfer. A model listed at two "
        "resolutions keeps its plain id for the smaller one."),
    "torchvision_weights": Source("torchvision weights on ImageNet", "torchvision model documentation",
        "ImageNet top-1 of the published torchvision weights, as documented; serves the ImageNet baseline."),
    "imagenet_testbed": Source("ImageNet and 60 shifts of it", "Taori et al., NeurIPS 2020, arXiv:2007.00644",
        "Classifiers of 2020 and earlier, many made robust on purpose, under names of its own. A corruption is the "
        "mean over its five severities; `_inmem` applies it in memory and `pgd` is an attack, where 0 is genuine."),
    "imagenet_x": Source("ImageNet images by what makes them hard",
        "Idrissi et al., ICLR 2023 (ImageNet-X), arXiv:2211.01866",
        "Accuracy on ImageNet images grouped by the factor that their annotators named; some groups hold tens of "
        "images. Published for non-commercial use, which an Apache-2.0 package cannot promise, so that its values "
        "stay out of the package: this card and the script that reads the source are all of it here.",
        shipped=False),
    "mmpretrain_metafiles": Source("mmpretrain checkpoints", "OpenMMLab, MMPreTrain (repository)",
        "Mostly ImageNet accuracy as documented for each checkpoint, from many papers and recipes. Its CIFAR "
        "networks are trained from scratch and have names of their own."),
    "imgclsmob_architectures": Source("convolutional networks of one collection", "Semery, imgclsmob (repository)",
        "ImageNet error of converted or re-trained networks, single crop. Networks for CIFAR and SVHN are trained "
        "from scratch and stand apart; those for birds start from ImageNet.",
        scratch=r"_scratch$"),
    "mmselfsup_0x_benchmarks": Source("self-supervised ResNet-50, OpenMMLab",
        "OpenMMLab, MMSelfSup v0.9.1 (repository)",
        "One harness for frozen and fine-tuned use: linear and nearest-neighbour on ImageNet, SVMs on voc2007 with "
        "few examples, detection and segmentation. The best layer or k is chosen on the test set.",
        heads={r"^knn_": "knn", r"^mAP": "svm"}),
    "vissl_model_zoo": Source("self-supervised checkpoints, VISSL", "Goyal et al., VISSL 2021 (repository)",
        "Linear classification on ImageNet, best layer where the zoo says so, over ten years of methods.",
        heads={r"^knn_": "knn"}),
    "solo_learn": Source("self-supervised methods, solo-learn", "da Costa et al., JMLR 2022, arXiv:2108.01775",
        "Each network is pre-trained without labels on the very data set that it is then probed on: a comparison of "
        "methods, not of checkpoints that one could take.",
        scratch=r"^(?:cifar|imagenet100)"),
    "lightly_ssl": Source("self-supervised methods, Lightly", "Susmelj et al., Lightly SSL (documentation)",
        "ImageNet by a linear head, by neighbours and fine-tuned. On CIFAR-10, Imagenette and ImageNet-100 the "
        "networks are pre-trained on that same set, and the best epoch is taken on the test set.",
        heads={r"^knn_": "knn"}, scratch=r"^(?:cifar|imagenet100|imagenette)"),
    "slip_yfcc": Source("CLIP, SimCLR and SLIP on YFCC", "Mu et al., ECCV 2022 (SLIP), arXiv:2112.12750",
        "One training set and three objectives, judged on ImageNet by prompts, a linear head and fine-tuning."),
    "dinov2_card": Source("DINOv2 on ImageNet", "Oquab et al., TMLR 2024, arXiv:2304.07193",
        "ImageNet only, by the authors of the checkpoints.", heads={r"^knn_": "knn"}),
    "dinov3_card": Source("DINOv3, frozen", "Simeoni et al. 2025, arXiv:2508.10104",
        "Frozen features by the authors of the checkpoints: linear heads, segmentation by a linear layer, and "
        "instance retrieval, tracking and matching by nearest features. The ConvNeXts also at 512 px.",
        variant=r"@(?P<px>\d+)$"),
    "virtex_model_zoo": Source("captioning as pre-training", "Desai & Johnson, CVPR 2021 (VirTex), arXiv:2006.06666",
        "Frozen features: SVMs on voc2007 and a linear head on ImageNet; ResNets pre-trained on COCO captions.",
        heads={r"^mAP": "svm"}),
    "eva_pathology_leaderboard": Source("pathology and radiology encoders", "kaiko.ai, eva, MIDL 2024",
        "Frozen encoders with a linear head for patches, attention pooling for slides and a light decoder for "
        "segmentation. `_val` is the validation part of a task.",
        heads={r"camelyon16|panda": "attention pooling", r"^dice": "decoder"}),
    "pathbench_fm": Source("pathology encoders on hospital slides", "Ma et al. 2025 (PathBench), arXiv:2505.20202",
        "Frozen encoders with attention pooling on slides of one hospital group and of outside cohorts; the mean of "
        "folds. Survival tasks are judged by the concordance index, where 0.5 is chance.",
        head="attention pooling"),
    "resize_rs_knn": Source("remote-sensing encoders, neighbours", "Corley et al., CVPRW 2024, arXiv:2305.13456",
        "Five nearest neighbours on frozen features, the best of the normalisations tried; input size and bands "
        "differ and are part of the column. Random features and image statistics stand among the models.",
        head="knn", variant=r"/(?P<bands>rgb|msi)@(?P<px>\d+)$"),
    "torchgeo_weights": Source("torchgeo checkpoints", "Stewart et al., SIGSPATIAL 2022 (TorchGeo), arXiv:2111.08872",
        "Numbers that torchgeo collected from the papers of its checkpoints: recipes differ between rows."),
    "torchgeo_bench_geofm": Source("geospatial encoders, frozen", "TorchGeo-Bench (repository)",
        "Frozen encoders with a linear head and by neighbours, 224 px, on colour bands or on all bands; the best "
        "pooling of each model. Image statistics and random filters stand among the models as a floor.",
        heads={r"^knn_": "knn"}, variant=r"/(?P<bands>allbands)$"),
    "taskonomy_winrates": Source("encoders of 2D and 3D indoor tasks",
        "Zamir et al., CVPR 2018 (Taskonomy), arXiv:1804.08328",
        "The value is no accuracy: it is the share of test images on which the transferred network beats one trained "
        "from pixels on the same data, so 0.5 means no gain. Only transfers from one source, with two sizes of "
        "training data.",
        head="decoder"),
    "fusionbench_clip": Source("CLIP towers and their fine-tunes", "Tang et al. 2024 (FusionBench), arXiv:2406.03280",
        "Three CLIP towers by prompts and fine-tuned, and their 24 fine-tunes tested on every task of eight, their "
        "own among them. One prompt set, so zero-shot differs from open_clip."),
    "google_vit_bit_mixer": Source("ViT, BiT and Mixer of Google", "Dosovitskiy et al. 2021, arXiv:2010.11929; "
        "Tolstikhin et al. 2021, arXiv:2105.01601",
        "Reproduction table of the repository, fine-tuned at 384 px; of two dropout rates the better."),
    "mieb_image": Source("CLIP, SigLIP and self-supervised encoders on MIEB",
        "Xiao et al. 2025 (MIEB), arXiv:2504.10471",
        "Frozen embeddings as its wrappers pool them: logistic regression on 16 images per class (mean of five "
        "draws), prompts, k-means clusters and retrieval of images by images. Embedders built on language models "
        "are left out, and so are EVA02-CLIP-B and -L, whose rows lie at or near chance in several tasks as if run "
        "in half precision.",
        left_out=("QuanSun/EVA02-CLIP-B-16", "QuanSun/EVA02-CLIP-L-14")),
    "fastai_timm_full": Source("timm models on pets and satellite photographs",
        "Capelle 2022, fastai_timm (repository)",
        "Mean of three to six fine-tuning runs at 224 px over two settings; the best run, the spread, seconds and GPU "
        "memory are no performances and stand in `costs.csv`. planet_amazon_1k is the share of right labels on "
        "1,000 images. Names of 2022 were mapped to the weights that they meant then."),
    "heedless_backbones": Source("backbones for detection and segmentation", "Heedless Backbones (site and repository)",
        "Transcribed from papers with the help of a language model, each with its own recipe: sparse and not "
        "strictly comparable. COCO boxes and ADE20K masks (single-scale) by head; the columns say the schedule or "
        "the resolution."),
    "ssl_risk_imagenet_fewshot": Source("169 self-supervised encoders, five label budgets",
        "Dubois et al., ICML 2023, arXiv:2302.03068",
        "Linear heads on ImageNet with all labels, one percent, and 30, 5 or 3 images per class, one harness for "
        "all; a point or so from the accuracies that the authors of the encoders published."),
}  # fmt: skip
