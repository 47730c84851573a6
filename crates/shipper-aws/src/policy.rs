//! Policies of IAM as documents: what a role may do, who may take it, and both as a template.
//!
//! Sources: IAM user guide, "IAM JSON policy elements"; service authorization references of Amazon ECR and AWS
//! CloudFormation (ARNs); GitHub, "Configuring OpenID Connect in Amazon Web Services" (claims).
//!
//! Invariants: a statement allows named actions on named resources, `*` only where AWS knows no smaller one; a role is
//! trusted to one repository and one ref or environment of it.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::{Value, json};

use crate::permissions::{On, Permission};
use crate::{AccountId, Region};

/// Longest document of a managed policy, in characters without blanks (IAM quotas).
pub const MAX_MANAGED_POLICY: usize = 6_144;

/// One account in one region, and what of it is used.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Scope {
    /// The account.
    pub account: AccountId,
    /// The region.
    pub region: Region,
    /// Names of repositories; a `*` stands for any text.
    pub repositories: BTreeSet<String>,
    /// Names of those of them whose images are asked about for vulnerabilities.
    pub scanned: BTreeSet<String>,
    /// Names of stacks.
    pub stacks: BTreeSet<String>,
    /// Services of Amazon ECS that get images: name of the cluster, name of the service.
    pub services: BTreeSet<(String, String)>,
    /// Names of functions of AWS Lambda that get images.
    pub functions: BTreeSet<String>,
    /// Whether Amazon ECS is asked which images are in use.
    pub ecs_in_use: bool,
    /// Whether AWS Lambda is asked which images are in use.
    pub lambda_in_use: bool,
}

impl Scope {
    /// Nothing of it yet.
    #[must_use]
    pub fn new(account: AccountId, region: Region) -> Self {
        Self {
            account,
            region,
            repositories: BTreeSet::new(),
            scanned: BTreeSet::new(),
            stacks: BTreeSet::new(),
            services: BTreeSet::new(),
            functions: BTreeSet::new(),
            ecs_in_use: false,
            lambda_in_use: false,
        }
    }

    /// `aws`, or that of another partition (AWS General Reference, "ARN format").
    fn partition(&self) -> &'static str {
        partition(&self.region)
    }

    fn arns(&self, on: On) -> Vec<String> {
        let (partition, account) = (self.partition(), &self.account);
        let arn =
            |service: &str, resource: String| format!("arn:{partition}:{service}:{}:{account}:{resource}", self.region);
        let repository = |name: &String| arn("ecr", format!("repository/{name}"));
        let everything = |is_used: bool| is_used.then(|| "*".to_owned()).into_iter().collect();
        match on {
            On::Account => everything(true),
            On::Repositories => self.repositories.iter().map(repository).collect(),
            On::Scans => self.scanned.iter().map(repository).collect(),
            On::Stacks => self.stacks.iter().map(|name| arn("cloudformation", format!("stack/{name}/*"))).collect(),
            On::Services => {
                let of = |(cluster, service): &(String, String)| {
                    let name = format!("{cluster}/{service}");
                    let kinds = [("service", ""), ("service-deployment", "/*"), ("service-revision", "/*")];
                    kinds.map(|(kind, end)| arn("ecs", format!("{kind}/{name}{end}")))
                };
                self.services.iter().flat_map(of).collect()
            }
            On::TaskDefinitions => everything(!self.services.is_empty()),
            On::TaskRoles if self.services.is_empty() => Vec::new(),
            On::TaskRoles => vec![format!("arn:{partition}:iam::{account}:role/*")],
            On::Functions => {
                let of = |name: &String| ["", ":*"].map(|version| arn("lambda", format!("function:{name}{version}")));
                self.functions.iter().flat_map(of).collect()
            }
            On::EcsInUse => everything(self.ecs_in_use),
            On::LambdaInUse => everything(self.lambda_in_use),
        }
    }
}

fn partition(region: &Region) -> &'static str {
    let partitions = [
        ("cn-", "aws-cn"),
        ("us-gov-", "aws-us-gov"),
        ("us-iso-", "aws-iso"),
        ("us-isob-", "aws-iso-b"),
        ("eusc-", "aws-eusc"),
    ];
    partitions.iter().find(|(start, _)| region.as_str().starts_with(start)).map_or("aws", |(_, partition)| partition)
}

/// A policy on access.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct PolicyDocument {
    version: &'static str,
    statement: Vec<Statement>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Statement {
    sid: &'static str,
    effect: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    principal: Option<BTreeMap<&'static str, String>>,
    action: Vec<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    resource: Vec<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    condition: BTreeMap<&'static str, BTreeMap<String, String>>,
}

/// The policy that allows these calls, and no other: one statement for each kind of resource. Permissions on kinds that the
/// scopes have none of are left out.
///
/// ```
/// use shipper_aws::{Command, Scope, policy};
/// let mut scope = Scope::new("123456789012".parse()?, "eu-west-1".parse()?);
/// scope.repositories.insert("shop/api".to_owned());
/// let ship: Command = "ship".parse().expect("a command");
/// let text = serde_json::to_string(&policy(ship.permissions(), &[scope])).expect("JSON");
/// assert!(text.contains("arn:aws:ecr:eu-west-1:123456789012:repository/shop/api"));
/// # Ok::<(), shipper_aws::NotEcr>(())
/// ```
pub fn policy(permissions: impl IntoIterator<Item = Permission>, scopes: &[Scope]) -> PolicyDocument {
    let mut actions: BTreeMap<On, BTreeSet<&'static str>> = BTreeMap::new();
    for permission in permissions {
        actions.entry(permission.on).or_default().insert(permission.action);
    }
    let statements = actions.into_iter().map(|(on, actions)| Statement {
        sid: match on {
            On::Account => "Account",
            On::Repositories => "Repositories",
            On::Scans => "Scans",
            On::Stacks => "Stacks",
            On::Services => "Services",
            On::TaskDefinitions => "TaskDefinitions",
            On::TaskRoles => "TaskRoles",
            On::Functions => "Functions",
            On::EcsInUse => "EcsInUse",
            On::LambdaInUse => "LambdaInUse",
        },
        effect: "Allow",
        principal: None,
        action: actions.into_iter().collect(),
        resource: scopes.iter().flat_map(|scope| scope.arns(on)).collect::<BTreeSet<_>>().into_iter().collect(),
        condition: match on {
            On::TaskRoles => {
                let tasks = ("iam:PassedToService".to_owned(), "ecs-tasks.amazonaws.com".to_owned());
                BTreeMap::from([("StringEquals", BTreeMap::from([tasks]))])
            }
            _ => BTreeMap::new(),
        },
    });
    let statement = statements.filter(|statement| !statement.resource.is_empty()).collect();
    PolicyDocument { version: "2012-10-17", statement }
}

impl PolicyDocument {
    /// Characters that count against IAM's quotas.
    #[must_use]
    pub fn characters(&self) -> usize {
        serde_json::to_string(self)
            .map_or(0, |text| text.chars().filter(|character| !character.is_whitespace()).count())
    }
}

/// Which jobs of GitHub Actions may take a role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GithubTrust {
    repository: String,
    subject: String,
}

/// A trust that would be wider than it looks, or names nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("trust `{text}`: {problem}")]
pub struct NoTrust {
    /// As written.
    pub text: String,
    /// What is wrong with it.
    pub problem: &'static str,
}

impl GithubTrust {
    /// Jobs of a repository, `OWNER/NAME`, that run for a ref: `refs/heads/NAME`, or `refs/tags/NAME`, where a `*` may stand for
    /// any text.
    ///
    /// # Errors
    /// [`NoTrust`].
    pub fn of_ref(repository: &str, git_ref: &str) -> Result<Self, NoTrust> {
        let wrong = |problem| Err(NoTrust { text: git_ref.to_owned(), problem });
        let is_branch = git_ref.strip_prefix("refs/heads/").is_some_and(|name| !name.is_empty());
        let is_tag = git_ref.strip_prefix("refs/tags/").is_some_and(|name| !name.is_empty());
        if !is_branch && !is_tag {
            return wrong("it is neither `refs/heads/NAME` nor `refs/tags/NAME`");
        }
        if is_branch && git_ref.contains('*') {
            return wrong("whoever may push any branch would have the role");
        }
        if git_ref.chars().any(|character| character.is_control() || " ?~^:\\[".contains(character)) {
            return wrong("no ref is called so");
        }
        Self::new(repository, format!("ref:{git_ref}"))
    }

    /// Jobs of a repository that run in one of its environments.
    ///
    /// # Errors
    /// [`NoTrust`].
    pub fn of_environment(repository: &str, environment: &str) -> Result<Self, NoTrust> {
        let is_plain = |character: char| !character.is_control() && !"*?:".contains(character);
        if environment.is_empty() || !environment.chars().all(is_plain) {
            let problem = "an environment's name is a text without `*`, `?` and `:`";
            return Err(NoTrust { text: environment.to_owned(), problem });
        }
        Self::new(repository, format!("environment:{environment}"))
    }

    fn new(repository: &str, subject: String) -> Result<Self, NoTrust> {
        let is_plain = |character: char| character.is_ascii_alphanumeric() || "-_.".contains(character);
        let is_name = |part: &str| !part.is_empty() && part.chars().all(is_plain);
        match repository.split_once('/') {
            Some((owner, name)) if is_name(owner) && is_name(name) => {
                Ok(Self { repository: repository.to_owned(), subject })
            }
            _ => Err(NoTrust { text: repository.to_owned(), problem: "it is not OWNER/NAME" }),
        }
    }

    /// The policy that says who may take the role, in this account (GitHub's provider has to be there).
    #[must_use]
    pub fn policy(&self, account: &AccountId, region: &Region) -> PolicyDocument {
        const ISSUER: &str = "token.actions.githubusercontent.com";
        let provider = format!("arn:{}:iam::{account}:oidc-provider/{ISSUER}", partition(region));
        let subject = format!("repo:{}:{}", self.repository, self.subject);
        let operator = if subject.contains('*') { "StringLike" } else { "StringEquals" };
        let mut condition: BTreeMap<&'static str, BTreeMap<String, String>> = BTreeMap::new();
        condition.entry("StringEquals").or_default().insert(format!("{ISSUER}:aud"), "sts.amazonaws.com".to_owned());
        condition.entry(operator).or_default().insert(format!("{ISSUER}:sub"), subject);
        let statement = Statement {
            sid: "GithubActions",
            effect: "Allow",
            principal: Some(BTreeMap::from([("Federated", provider)])),
            action: vec!["sts:AssumeRoleWithWebIdentity"],
            resource: Vec::new(),
            condition,
        };
        PolicyDocument { version: "2012-10-17", statement: vec![statement] }
    }
}

/// A template of CloudFormation: a role with the policy where its trust is known, else a managed policy.
#[must_use]
pub fn cloudformation(policy: &PolicyDocument, trust: Option<&PolicyDocument>) -> Value {
    let (resource, attribute) = match trust {
        Some(trust) => (
            json!({"Type": "AWS::IAM::Role", "Properties": {
                "AssumeRolePolicyDocument": trust,
                "Policies": [{"PolicyName": "shipper", "PolicyDocument": policy}],
            }}),
            json!({"Fn::GetAtt": ["Shipper", "Arn"]}),
        ),
        None => (
            json!({"Type": "AWS::IAM::ManagedPolicy", "Properties": {"PolicyDocument": policy}}),
            json!({"Ref": "Shipper"}),
        ),
    };
    json!({
        "AWSTemplateFormatVersion": "2010-09-09",
        "Resources": {"Shipper": resource},
        "Outputs": {"Arn": {"Value": attribute}},
    })
}

/// The same in the JSON syntax of Terraform, for a file `shipper.tf.json`.
#[must_use]
pub fn terraform(policy: &PolicyDocument, trust: Option<&PolicyDocument>) -> Value {
    // In its texts `${` and `%{` begin templates.
    let document = |policy: &PolicyDocument| {
        serde_json::to_string(policy).unwrap_or_default().replace("${", "$${").replace("%{", "%%{")
    };
    match trust {
        Some(trust) => json!({
            "resource": {
                "aws_iam_role": {"shipper": {"name_prefix": "shipper-", "assume_role_policy": document(trust)}},
                "aws_iam_role_policy": {"shipper": {
                    "name": "shipper",
                    "role": "${aws_iam_role.shipper.id}",
                    "policy": document(policy),
                }},
            },
            "output": {"shipper_role_arn": {"value": "${aws_iam_role.shipper.arn}"}},
        }),
        None => json!({
            "resource": {"aws_iam_policy": {"shipper": {"name_prefix": "shipper-", "policy": document(policy)}}},
            "output": {"shipper_policy_arn": {"value": "${aws_iam_policy.shipper.arn}"}},
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trust_is_of_one_repository_and_one_ref() {
        let sub = |trust: Result<GithubTrust, NoTrust>| {
            let account = "123456789012".parse().expect("an account");
            let policy = trust.ok()?.policy(&account, &"eu-west-1".parse().expect("a region"));
            let [statement] = policy.statement.as_slice() else { panic!("{policy:?}") };
            let claims = statement
                .condition
                .iter()
                .flat_map(|(operator, claims)| claims.iter().map(move |claim| (operator, claim)));
            let (operator, (_, subject)) = claims.into_iter().find(|(_, (claim, _))| claim.ends_with(":sub"))?;
            Some(format!("{operator} {subject}"))
        };
        let of_ref = |repository: &str, git_ref: &str| sub(GithubTrust::of_ref(repository, git_ref));
        assert_eq!(
            of_ref("acme/shop", "refs/heads/main").as_deref(),
            Some("StringEquals repo:acme/shop:ref:refs/heads/main")
        );
        assert_eq!(of_ref("acme/shop", "refs/tags/v*").as_deref(), Some("StringLike repo:acme/shop:ref:refs/tags/v*"));
        for (repository, git_ref) in [
            ("acme/*", "refs/heads/main"),
            ("acme", "refs/heads/main"),
            ("a/b/c", "refs/heads/main"),
            ("acme/shop", "refs/heads/*"),
            ("acme/shop", "main"),
            ("acme/shop", "refs/heads/"),
            ("acme/shop", "refs/tags/v?"),
        ] {
            assert_eq!(of_ref(repository, git_ref), None, "{repository} {git_ref}");
        }
        let environment = |name: &str| sub(GithubTrust::of_environment("acme/shop", name));
        assert_eq!(environment("prod").as_deref(), Some("StringEquals repo:acme/shop:environment:prod"));
        assert_eq!((environment("*"), environment("")), (None, None));
    }

    #[test]
    fn arns_are_of_the_regions_partition() {
        let arn = |region: &str| {
            let mut scope = Scope::new("123456789012".parse().expect("an account"), region.parse().expect("a region"));
            scope.repositories.insert("a".to_owned());
            scope.arns(On::Repositories).remove(0)
        };
        assert_eq!(arn("eu-west-1"), "arn:aws:ecr:eu-west-1:123456789012:repository/a");
        assert_eq!(arn("cn-north-1"), "arn:aws-cn:ecr:cn-north-1:123456789012:repository/a");
        assert_eq!(arn("us-gov-west-1"), "arn:aws-us-gov:ecr:us-gov-west-1:123456789012:repository/a");
    }
}
