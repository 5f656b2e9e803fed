//! What is asked for a review, and what wins.

use super::*;

fn about() -> About {
    About::Resource {
        namespace: "prod".to_owned(),
        verb: "get".to_owned(),
        group: String::new(),
        resource: "secrets".to_owned(),
        subresource: String::new(),
        name: String::new(),
    }
}

fn asked(review: &Review) -> Vec<String> {
    let asked = questions(&Cluster::default(), review).unwrap().into_iter();
    let told =
        asked.map(|asked| format!("{}#{}@{}", asked.resource, asked.permission, asked.subject));
    told.collect()
}

#[test]
fn a_user_and_its_groups_are_asked_about_in_the_namespace_and_the_cluster() {
    let mut review = Review {
        user: Some("ann".to_owned()),
        groups: vec!["eng".to_owned()],
        about: about(),
    };
    assert_eq!(
        asked(&review),
        [
            "kubernetes/namespace:main/prod#banned@kubernetes/user:ann",
            "kubernetes/namespace:main/prod#granted@kubernetes/user:ann",
            "kubernetes/cluster:main#banned@kubernetes/user:ann",
            "kubernetes/cluster:main#granted@kubernetes/user:ann",
            "kubernetes/namespace:main/prod#banned@kubernetes/group:eng",
            "kubernetes/namespace:main/prod#granted@kubernetes/group:eng",
            "kubernetes/cluster:main#banned@kubernetes/group:eng",
            "kubernetes/cluster:main#granted@kubernetes/group:eng",
            // Last, so that a lock that comes meanwhile is not taken for no ban.
            "kubernetes/user:ann#itself@kubernetes/user:ann",
            "kubernetes/group:eng#itself@kubernetes/group:eng",
        ]
    );
    review.user = None;
    review.about = About::Url {
        path: "/readyz".to_owned(),
        verb: "get".to_owned(),
    };
    assert_eq!(
        asked(&review),
        [
            "kubernetes/cluster:main#banned@kubernetes/group:eng",
            "kubernetes/cluster:main#granted_url@kubernetes/group:eng",
            "kubernetes/group:eng#itself@kubernetes/group:eng",
        ]
    );
}

#[test]
fn what_cannot_be_asked_about_is_refused() {
    let cluster = Cluster::default();
    let mut review = Review {
        user: Some("ann".to_owned()),
        groups: (0..=GROUPS_MAX).map(|n| format!("g{n}")).collect(),
        about: about(),
    };
    assert_eq!(
        questions(&cluster, &review),
        Err(AskError::TooManyGroups { groups: 1_001 })
    );
    review.groups.pop();
    assert_eq!(questions(&cluster, &review).unwrap().len(), 5 * 1_001);
    review.groups = vec!["@".repeat(400)];
    assert!(matches!(
        questions(&cluster, &review),
        Err(AskError::Group(_))
    ));
    review.user = Some("@".repeat(400));
    assert!(matches!(
        questions(&cluster, &review),
        Err(AskError::User(_))
    ));
}

#[test]
fn a_ban_wins_and_is_never_passed_over() {
    let (yes, no) = (Answer::Yes, Answer::No);
    let unknown = || Answer::Unknown("depth".to_owned());
    let grant = (Purpose::Granted, Answer::Yes);
    let ban = |answer| (Purpose::Banned(Ban::Namespace), answer);
    let come_to = |answers: Vec<(Purpose, Answer)>| verdict(answers);
    assert_eq!(
        come_to(vec![grant.clone(), ban(no.clone())]),
        Ok(Verdict::Allowed)
    );
    let denied = Ok(Verdict::Denied(Ban::Namespace));
    assert_eq!(
        come_to(vec![grant.clone(), ban(unknown()), ban(yes)]),
        denied
    );
    let locked = (Purpose::Unlocked, Answer::No);
    assert_eq!(
        come_to(vec![locked, grant.clone()]),
        Ok(Verdict::Denied(Ban::Locked))
    );
    assert!(come_to(vec![grant.clone(), ban(unknown())]).is_err());
    assert!(come_to(vec![(Purpose::Unlocked, unknown()), grant.clone()]).is_err());
    // Another grant decides what one that failed does not.
    let failed = (Purpose::Granted, unknown());
    assert_eq!(come_to(vec![failed.clone(), grant]), Ok(Verdict::Allowed));
    let failure = Some("depth".to_owned());
    assert_eq!(
        come_to(vec![failed, ban(no)]),
        Ok(Verdict::NoOpinion { failure })
    );
    assert_eq!(come_to(vec![]), Ok(Verdict::NoOpinion { failure: None }));
}
